import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** One Java library through a move of the VIP: the same questions and answers as probe.py. */
public final class Probe {
    private static final long AGAIN_AFTER = 100; // milliseconds between two attempts
    private static final double GIVES_UP_AFTER = 20; // seconds of errors
    private static final double UNHARMED = 3; // seconds after the move: whoever has not failed until then does not

    private static String library;
    private static String url;
    private static String user;
    private static String password;
    private static volatile double over = Double.POSITIVE_INFINITY;

    /** Runs a statement, and says whether it gave a row. */
    private interface Client {
        boolean run(String statement) throws Exception;
    }

    private interface Attempt {
        void run() throws Exception;
    }

    /** A connection that the application keeps, and makes anew after an error. */
    private static final class Single implements Client {
        private Connection connection;

        @Override
        public boolean run(String statement) throws SQLException {
            if (connection == null) {
                connection = DriverManager.getConnection(url, user, password);
            }
            try {
                return execute(connection, statement);
            } catch (SQLException error) {
                connection = null;
                throw error;
            }
        }
    }

    private static boolean execute(Connection connection, String text) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return statement.execute(text) && statement.getResultSet().next();
        }
    }

    /** A new client: its connections are shared with no other. */
    private static Client client() {
        if (!library.contains("HikariCP")) {
            return new Single();
        }
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url);
        config.setUsername(user);
        config.setPassword(password);
        config.setMaximumPoolSize(1);
        HikariDataSource pool = new HikariDataSource(config);
        return statement -> {
            try (Connection connection = pool.getConnection()) {
                return execute(connection, statement);
            }
        };
    }

    /** The error's number, or its SQLSTATE where it has none; of a pool's error its cause's. */
    private static String number(Throwable error) {
        Throwable found = error;
        while (found != null && !(found instanceof SQLException)) {
            found = found.getCause();
        }
        if (!(found instanceof SQLException)) {
            return error.getClass().getSimpleName();
        }
        SQLException exception = (SQLException) found;
        if (exception.getErrorCode() > 0) {
            return String.valueOf(exception.getErrorCode());
        }
        return exception.getSQLState() != null ? exception.getSQLState() : exception.getClass().getSimpleName();
    }

    private static double now() {
        return System.nanoTime() / 1e9;
    }

    private static synchronized void tell(String what, List<String> errors, Double seconds, Boolean written) {
        String all = errors.stream().map(error -> '"' + error + '"').collect(Collectors.joining(", "));
        String time = seconds == null ? "null" : String.format(Locale.ROOT, "%.6f", seconds);
        String row = written == null ? "" : ", \"written\": " + written;
        System.out.println("{\"what\": \"" + what + "\", \"errors\": [" + all + "], \"seconds\": " + time + row + "}");
    }

    /** Adds the errors until then, and gives the seconds; null where it was given up. */
    private static Double untilItSucceeds(List<String> errors, Attempt attempt) throws InterruptedException {
        double began = now();
        while (true) {
            try {
                attempt.run();
                return now() - began;
            } catch (Exception error) {
                errors.add(number(error));
            }
            if (now() - began > GIVES_UP_AFTER) {
                return null;
            }
            Thread.sleep(AGAIN_AFTER);
        }
    }

    private static void tell(String what, Attempt attempt) throws InterruptedException {
        List<String> errors = new ArrayList<>();
        Double seconds = untilItSucceeds(errors, attempt);
        tell(what, errors, seconds, null);
    }

    private static String insert(long row) {
        return "INSERT INTO lab.ledger (id, note) VALUES (" + row + ", 'a library')";
    }

    /** Inserts until an error is over, and tells it; and whether the row that failed first is there all the same. */
    private static void insertForEver(Client busy, long first) throws Exception {
        double since = now();
        for (long row = first; now() < over + UNHARMED; row++) {
            try {
                busy.run(insert(row));
                since = now();
            } catch (Exception error) {
                List<String> errors = new ArrayList<>(List.of(number(error)));
                long next = row + 1;
                if (untilItSucceeds(errors, () -> busy.run(insert(next))) == null) {
                    tell("busy", errors, null, null);
                    return;
                }
                double seconds = now() - since;
                tell("busy", errors, seconds, busy.run("SELECT id FROM lab.ledger WHERE id = " + row));
                return;
            }
        }
        tell("busy", List.of(), 0.0, null);
    }

    private static void takeThrough(long row) throws Exception {
        Client idle = client();
        Client busy = client();
        idle.run(insert(row));
        busy.run(insert(row + 1));
        Thread inserting = new Thread(() -> {
            try {
                insertForEver(busy, row + 10);
            } catch (Exception error) {
                System.err.println(error);
            }
        });
        inserting.start();
        // HikariCP lends a connection without a look for half a second after its last use. This one is to idle.
        Thread.sleep(1000);
        System.out.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        lines.readLine();
        tell("connect", () -> client().run("SELECT 1"));
        lines.readLine();
        over = now();
        tell("idle", () -> idle.run(insert(row + 2)));
        inserting.join();
    }

    public static void main(String[] arguments) {
        library = arguments[0];
        String options = library.contains("allowPublicKeyRetrieval") ? "?allowPublicKeyRetrieval=true" : "";
        url = "jdbc:mariadb://" + arguments[1] + ":" + arguments[2] + "/" + options;
        user = arguments[3];
        password = arguments[4];
        int status = 0;
        try {
            takeThrough(Long.parseLong(arguments[5]));
        } catch (Exception error) {
            System.err.println(number(error) + ": " + error.getMessage().lines().findFirst().orElse(""));
            status = 1;
        }
        System.exit(status);
    }
}
