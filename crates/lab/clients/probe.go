// One Go library through a move of the VIP: the same questions and answers as probe.py.
package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	againAfter   = 100 * time.Millisecond
	givesUpAfter = 20 * time.Second
	unharmed     = 3 * time.Second // after the move: whoever has not failed until then does not
)

var where string

// A new client: its connections are shared with no other. In database/sql each is a pool; this one has one connection.
func client() *sql.DB {
	pool, err := sql.Open("mysql", where)
	if err != nil {
		log.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	return pool
}

func insert(pool *sql.DB, row int64) error {
	_, err := pool.Exec(fmt.Sprintf("INSERT INTO lab.ledger (id, note) VALUES (%d, 'a library')", row))
	return err
}

// The error's number, the operating system's name for it, or its words.
func number(err error) string {
	var answer *mysql.MySQLError
	var system syscall.Errno
	var dial *net.OpError
	switch {
	case errors.As(err, &answer):
		return strconv.Itoa(int(answer.Number))
	case errors.As(err, &system):
		return system.Error()
	case errors.As(err, &dial):
		return dial.Err.Error()
	}
	return err.Error()
}

type attempt struct {
	What    string   `json:"what"`
	Errors  []string `json:"errors"`
	Seconds *float64 `json:"seconds"`
	Written *bool    `json:"written,omitempty"`
}

func tell(said attempt) {
	line, err := json.Marshal(said)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

// Errors until then, and seconds; none where it was given up.
func untilItSucceeds(what string, try func() error) attempt {
	said, began := attempt{What: what, Errors: []string{}}, time.Now()
	for {
		err := try()
		if err == nil {
			seconds := time.Since(began).Seconds()
			said.Seconds = &seconds
			return said
		}
		said.Errors = append(said.Errors, number(err))
		if time.Since(began) > givesUpAfter {
			return said
		}
		time.Sleep(againAfter)
	}
}

// Inserts until an error is over, and tells it; and whether the row that failed first is there all the same.
func insertForEver(busy *sql.DB, over *atomic.Pointer[time.Time], row int64) {
	since := time.Now()
	for {
		if at := over.Load(); at != nil && time.Since(*at) > unharmed {
			tell(untilItSucceeds("busy", func() error { return nil }))
			return
		}
		first := insert(busy, row)
		if first == nil {
			since = time.Now()
			row++
			continue
		}
		said := untilItSucceeds("busy", func() error { return insert(busy, row+1) })
		said.Errors = append([]string{number(first)}, said.Errors...)
		if said.Seconds != nil {
			seconds := time.Since(since).Seconds()
			said.Seconds = &seconds
			var found int64
			err := busy.QueryRow("SELECT id FROM lab.ledger WHERE id = ?", row).Scan(&found)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				log.Fatal(err)
			}
			written := err == nil
			said.Written = &written
		}
		tell(said)
		return
	}
}

func main() {
	log.SetFlags(0)
	// What the driver reports beside its errors would fill a pipe that nobody reads.
	if err := mysql.SetLogger(log.New(io.Discard, "", 0)); err != nil {
		log.Fatal(err)
	}
	host, port, user, password := os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	where = fmt.Sprintf("%s:%s@tcp(%s)/", user, password, net.JoinHostPort(host, port))
	row, err := strconv.ParseInt(os.Args[6], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	idle, busy := client(), client()
	for place, pool := range []*sql.DB{idle, busy} {
		if err := insert(pool, row+int64(place)); err != nil {
			log.Fatal(err)
		}
	}
	var over atomic.Pointer[time.Time]
	done := make(chan struct{})
	go func() {
		insertForEver(busy, &over, row+10)
		close(done)
	}()
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan()
	tell(untilItSucceeds("connect", func() error {
		pool := client()
		defer pool.Close()
		var one int
		return pool.QueryRow("SELECT 1").Scan(&one)
	}))
	lines.Scan()
	at := time.Now()
	over.Store(&at)
	tell(untilItSucceeds("idle", func() error { return insert(idle, row+2) }))
	<-done
}
