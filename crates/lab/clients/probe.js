// One Node library through a move of the VIP: the same questions and answers as probe.py.
//
// A single connection of either library needs a listener for `error`: without one its end ends the process.
'use strict';
const [library, host, port, user, password, first] = process.argv.slice(2);
const where = { host, port: Number(port), user, password };
const insert = (row) => `INSERT INTO lab.ledger (id, note) VALUES (${row}, 'a library')`;
const AGAIN_AFTER = 100; // milliseconds between two attempts
const GIVES_UP_AFTER = 20; // seconds of errors
const UNHARMED = 3000; // milliseconds after the move: whoever has not failed until then does not

// A connection that the application keeps, and makes anew after an error.
function single(connect) {
  let connection;
  return {
    async run(statement) {
      connection ??= await connect();
      connection.on('error', () => {});
      try {
        return await connection.query(statement);
      } catch (error) {
        connection = undefined;
        throw error;
      }
    },
  };
}

function client() {
  const [name, kind] = library.split(', ');
  const driver = require(name === 'mysql2' ? 'mysql2/promise' : 'mariadb');
  if (kind !== 'pool') return single(() => driver.createConnection(where));
  const pool = driver.createPool({ ...where, connectionLimit: 1 });
  return { run: (statement) => pool.query(statement) };
}

const now = () => performance.now() / 1000;
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const number = (error) => String(error.errno > 0 ? error.errno : error.code || error.message);
const tell = (what, figures) => console.log(JSON.stringify({ what, ...figures }));

async function untilItSucceeds(what) {
  const began = now();
  const errors = [];
  for (;;) {
    try {
      await what();
      return { errors, seconds: now() - began };
    } catch (error) {
      errors.push(number(error));
      if (now() - began > GIVES_UP_AFTER) return { errors, seconds: null };
      await pause(AGAIN_AFTER);
    }
  }
}

let over = Infinity;

async function insertForEver(busy, row) {
  let since = now();
  for (; now() < over + UNHARMED / 1000; row += 1) {
    try {
      await busy.run(insert(row));
      since = now();
    } catch (error) {
      const recovery = await untilItSucceeds(() => busy.run(insert(row + 1)));
      const errors = [number(error), ...recovery.errors];
      if (recovery.seconds === null) return tell('busy', { errors, seconds: null });
      const seconds = now() - since;
      const found = JSON.stringify(await busy.run(`SELECT CAST(COUNT(*) AS CHAR) AS n FROM lab.ledger WHERE id = ${row}`));
      return tell('busy', { errors, seconds, written: /"n":"?1/.test(found) });
    }
  }
  tell('busy', { errors: [], seconds: 0 });
}

const lines = require('node:readline').createInterface({ input: process.stdin })[Symbol.asyncIterator]();

(async () => {
  const row = Number(first);
  const [idle, busy] = [client(), client()];
  await idle.run(insert(row));
  await busy.run(insert(row + 1));
  const inserting = insertForEver(busy, row + 10);
  console.log('ready');
  await lines.next();
  tell('connect', await untilItSucceeds(() => client().run('SELECT 1')));
  await lines.next();
  over = now();
  tell('idle', await untilItSucceeds(() => idle.run(insert(row + 2))));
  await inserting;
  process.exit(0);
})().catch((error) => {
  console.error(`${error.code || error.name}: ${error.message}`.split('\n')[0]);
  process.exit(1);
});
