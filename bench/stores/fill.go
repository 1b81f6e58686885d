package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

// dialect is how a server says what is needed to make rows in bulk.
type dialect struct {
	numbers string // a table u with the numbers n from 0, as many as its verb says
	name    string // the id of task u.n
	id      string // a run's id of 26 characters, made of its task's id t.id, and where a task may have several, of the occurrence t.last_us
	// columns are those beside id, name, definition, next_us and anchor_us whose value depends on the task.
	columns map[string]string
	after   []string // statements after a bulk load, with the names of tables as verbs
}

var (
	postgresDialect = dialect{
		numbers: `(SELECT n FROM generate_series(0, %d - 1) AS made (n)) AS u`,
		name:    `'task-' || lpad(u.n::text, 7, '0')`,
		id:      `lpad(t.id || t.last_us / 1000000, 26, '0')`,
		after:   []string{`VACUUM (ANALYZE) %s`},
	}
	mysqlDialect = dialect{
		numbers: `(SELECT n FROM (SELECT ` + sixDigits + ` AS n FROM ` + digitTables + `) AS made WHERE n < %d) AS u`,
		name:    `CONCAT('task-', LPAD(u.n, 7, '0'))`,
		id:      `LPAD(t.id, 26, '0')`,
		columns: map[string]string{
			"search": `CONCAT(CONCAT('task-', LPAD(u.n, 7, '0')), '\n', CONCAT('task-', LPAD(u.n, 7, '0')))`,
			"digest": `UNHEX(SHA2(REPLACE(t.definition, '` + model + `', CONCAT('task-', LPAD(u.n, 7, '0'))), 256))`,
		},
		after: []string{`ANALYZE TABLE %s`},
	}
	sqliteDialect = dialect{
		numbers: `(WITH RECURSIVE made (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM made WHERE n < %d - 1) SELECT n FROM made) AS u`,
		name:    `'task-' || substr('0000000' || u.n, -7)`,
		id:      `substr('00000000000000000000000000' || t.id, -26)`,
		after:   []string{`PRAGMA wal_checkpoint(TRUNCATE)`},
	}
)

// sixDigits and digitTables make the numbers below a million.
const (
	sixDigits   = `a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n`
	digits      = `(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)`
	digitTables = digits + ` AS a, ` + digits + ` AS b, ` + digits + ` AS c, ` + digits + ` AS d, ` + digits + ` AS e, ` + digits + ` AS f`
)

// model is the id of the task that others are copies of.
const model = "model-of-tasks"

// taskName is the id of the n-th task.
func taskName(n int) string { return fmt.Sprintf("task-%07d", n) }

// crowd says which tasks a place gets.
type crowd struct {
	tasks int
	every time.Duration
	first time.Time     // when the first one is due
	apart time.Duration // between the first occurrences of one and the next
	// due is how many are due then; the others a century later. Zero is for all.
	due int
	// grace is how late an occurrence may be found and still count as on time; zero for what a task has by default.
	grace time.Duration
}

// fill puts tasks into an empty place: one is registered by the library, and the server makes copies of it, so that a million takes
// seconds and every column has what the library would write.
func fill(ctx context.Context, b backend, place string, c crowd) error {
	store, err := b.open(ctx, place)
	if err != nil {
		return err
	}
	defer store.Close()
	s, err := punctual.New(store, nothing)
	if err != nil {
		return err
	}
	defer s.Close()
	task := punctual.Task{ID: model, Schedule: punctual.Every(c.every), OnRegister: punctual.WaitForSchedule, MisfireGrace: c.grace}
	if err := s.Add(ctx, task); err != nil {
		return err
	}
	db, err := b.connect(place)
	if err != nil {
		return err
	}
	defer db.Close()
	columns, err := columnsOf(ctx, db, b.tasks)
	if err != nil {
		return err
	}
	next := fmt.Sprintf("%d + u.n * %d", c.first.UnixMicro(), c.apart.Microseconds())
	if c.due > 0 {
		const century = 100 * 365 * 24 * time.Hour
		next += fmt.Sprintf(" + CASE WHEN u.n < %d THEN 0 ELSE %d END", c.due, century.Microseconds())
	}
	values := map[string]string{
		"id": b.dialect.name, "name": b.dialect.name, "definition": `REPLACE(t.definition, '` + model + `', ` + b.dialect.name + `)`,
		"next_us": next, "anchor_us": fmt.Sprintf("%s - %d", next, c.every.Microseconds()),
	}
	for column, value := range b.dialect.columns {
		values[column] = value
	}
	expressions := make([]string, len(columns))
	for i, column := range columns {
		expressions[i] = "t." + column
		if value, ours := values[column]; ours {
			expressions[i] = value
		}
	}
	statements := []string{
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %[1]s AS t, %[4]s WHERE t.id = '"+model+"'",
			b.tasks, strings.Join(columns, ", "), strings.Join(expressions, ", "), fmt.Sprintf(b.dialect.numbers, c.tasks)),
		fmt.Sprintf("DELETE FROM %s WHERE id = '"+model+"'", b.tasks),
	}
	return execAll(ctx, db, append(statements, b.settle(b.tasks)...)...)
}

// settle are the statements that let a server do at once what a bulk load would let it do later, in the midst of a measurement.
func (b backend) settle(tables ...string) (statements []string) {
	for _, table := range tables {
		for _, statement := range b.dialect.after {
			if strings.Contains(statement, "%s") {
				statement = fmt.Sprintf(statement, table)
			}
			statements = append(statements, statement)
		}
	}
	return statements
}

// columnsOf are the names of a table's columns.
func columnsOf(ctx context.Context, db *sql.DB, table string) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+table+" LIMIT 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return rows.Columns()
}
