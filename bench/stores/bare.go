package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/punctual-go/punctual"
)

// The bare loops are the floors: what the same three writes cost on the same server when nothing is decided. They claim the next batch of
// due tasks and move them on, insert a run for each, commit, and record in a second transaction that the runs have succeeded. Their tables
// have the columns of the store's, and their rows are copies of a row that the library has written, so they are as wide. They have the
// indexes that the three writes need and no others: the ids, what is due, and that no occurrence is there twice.

// batch is how many runs are claimed and finished at a time.
const batch = 500

// bareLoop is one kind of bare loop over the tasks of a place.
type bareLoop interface {
	// step takes the next batch from due to done and returns how many there were. It may be called by several at the same time.
	step(ctx context.Context) (int, error)
	Close()
}

// Names of the tables of the bare loops.
const (
	bareTasks = "bare_tasks"
	bareRuns  = "bare_runs"
	bareModel = "bare_model" // the run that all others are copies of
)

// prepareBare makes the tables, after create has made them empty, and returns the statement that inserts runs: of tasks t, with
// a verb for the condition.
func prepareBare(ctx context.Context, b backend, place string, create func(db *sql.DB) error) (insert string, err error) {
	if err := startOne(ctx, b, place); err != nil {
		return "", err
	}
	db, err := b.connect(place)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if err := create(db); err != nil {
		return "", err
	}
	columns, err := columnsOf(ctx, db, b.runs)
	if err != nil {
		return "", err
	}
	values := map[string]string{
		"id": b.dialect.id, "task_id": "t.id", "task_name": "t.id", "scheduled_us": "t.last_us", "occurrence_us": "t.last_us",
		"started_us": "t.last_us", "created_us": "t.last_us",
	}
	expressions := make([]string, len(columns))
	for i, column := range columns {
		expressions[i] = "m." + column
		if value, ours := values[column]; ours {
			expressions[i] = value
		}
	}
	insert = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM ", bareRuns, strings.Join(columns, ", "), strings.Join(expressions, ", "))
	return insert, execAll(ctx, db, append([]string{
		fmt.Sprintf("INSERT INTO %s SELECT * FROM %s WHERE id <> '%s'", bareTasks, b.tasks, model),
		fmt.Sprintf("INSERT INTO %s SELECT * FROM %s", bareModel, b.runs),
	}, b.settle(bareTasks)...)...)
}

// startOne lets the library start one run, which stays as it began. It is of a task of its own, so that all others are still due.
func startOne(ctx context.Context, b backend, place string) error {
	store, err := b.open(ctx, place)
	if err != nil {
		return err
	}
	defer store.Close()
	w := worker{store: store}
	if err := w.begin(ctx); err != nil {
		return err
	}
	_, err = store.Edit(ctx, punctual.EditRequest{TaskID: model, Session: w.session, Slots: 1, Decide: func(v punctual.View) (punctual.Change, error) {
		task := punctual.Task{ID: model, Schedule: punctual.Every(time.Hour), Revision: 1}
		run := w.run(model, v.Now)
		return punctual.Change{Task: &task, Status: &punctual.Status{Anchor: v.Now, NextRunAt: v.Now.Add(time.Hour)}, Insert: []punctual.Run{run}}, nil
	}})
	return err
}

// barePostgres claims, moves on and inserts with one statement, so that its commit is the only other thing that the server has to do.
type barePostgres struct {
	pool          *pgxpool.Pool
	claim, finish string
	every         time.Duration       // how far a task is moved on
	started       func(due time.Time) // told of each run when its claim has been committed; nil for nobody
}

func openBarePostgres(ctx context.Context, b backend, place string) (bareLoop, error) {
	return newBarePostgres(ctx, b, place, time.Hour, nil)
}

func newBarePostgres(ctx context.Context, b backend, place string, every time.Duration, started func(due time.Time)) (*barePostgres, error) {
	insert, err := prepareBare(ctx, b, place, func(db *sql.DB) error {
		return execAll(
			ctx, db,
			`CREATE TABLE bare_tasks (LIKE tasks, PRIMARY KEY (id)) WITH (fillfactor = 70)`,
			`CREATE INDEX ON bare_tasks (next_us, id)`,
			`CREATE TABLE bare_runs (LIKE runs, PRIMARY KEY (id), UNIQUE (task_id, scheduled_us)) WITH (fillfactor = 85)`,
			`CREATE TABLE bare_model (LIKE runs)`,
		)
	})
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(postgresDSN())
	if err != nil {
		return nil, err
	}
	// The planner takes the limit for a tenth of the table, and would read and hash all tasks for each claim.
	for name, value := range map[string]string{
		"search_path": place, "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off",
		"enable_mergejoin": "off", "jit": "off",
	} {
		config.ConnConfig.RuntimeParams[name] = value
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &barePostgres{
		pool: pool, every: every, started: started,
		claim: `WITH due AS MATERIALIZED (SELECT id FROM bare_tasks WHERE next_us <= $1 ORDER BY next_us, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED),
			t AS (UPDATE bare_tasks b SET last_us = b.next_us, next_us = b.next_us + $3 FROM due WHERE b.id = due.id RETURNING b.id, b.last_us)
			` + insert + `t, bare_model AS m RETURNING id, scheduled_us`,
		finish: `UPDATE bare_runs SET state = 'succeeded', finished_us = $2, session = '' WHERE id = ANY ($1::text[]) AND state = 'running' AND attempt = 1`,
	}, nil
}

func (l *barePostgres) step(ctx context.Context) (int, error) {
	now := time.Now().UnixMicro()
	rows, err := l.pool.Query(ctx, l.claim, now, batch, l.every.Microseconds())
	if err != nil {
		return 0, err
	}
	var id string
	var due int64
	ids, dues := make([]string, 0, batch), make([]int64, 0, batch)
	if _, err := pgx.ForEachRow(rows, []any{&id, &due}, func() error {
		ids, dues = append(ids, id), append(dues, due)
		return nil
	}); err != nil || len(ids) == 0 {
		return 0, err
	}
	if l.started != nil {
		for _, due := range dues {
			l.started(time.UnixMicro(due))
		}
	}
	done, err := l.pool.Exec(ctx, l.finish, ids, now)
	return int(done.RowsAffected()), err
}

func (l *barePostgres) Close() { l.pool.Close() }

// bareMySQL needs four statements and a commit for the claim, since the server's statements return no rows that they have changed.
type bareMySQL struct {
	db     *sql.DB
	idle   chan *sql.Conn // as many as there are writers
	insert string
}

func openBareMySQL(ctx context.Context, b backend, place string) (bareLoop, error) {
	insert, err := prepareBare(ctx, b, place, func(db *sql.DB) error {
		return execAll(
			ctx, db,
			`CREATE TABLE bare_tasks (PRIMARY KEY (id), KEY (next_us, id)) ENGINE = InnoDB ROW_FORMAT = DYNAMIC AS SELECT * FROM punctual_tasks LIMIT 0`,
			`CREATE TABLE bare_runs (PRIMARY KEY (id), UNIQUE KEY (task_id, scheduled_us)) ENGINE = InnoDB ROW_FORMAT = DYNAMIC AS SELECT * FROM punctual_runs LIMIT 0`,
			`CREATE TABLE bare_model ENGINE = InnoDB ROW_FORMAT = DYNAMIC AS SELECT * FROM punctual_runs LIMIT 0`,
		)
	})
	if err != nil {
		return nil, err
	}
	l := &bareMySQL{idle: make(chan *sql.Conn, b.writers), insert: insert + `bare_tasks AS t, bare_model AS m WHERE t.id IN (`}
	if l.db, err = connectMySQL(place); err != nil {
		return nil, err
	}
	for range b.writers {
		conn, err := l.db.Conn(ctx)
		if err == nil {
			_, err = conn.ExecContext(ctx, `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`)
		}
		if err != nil {
			l.Close()
			return nil, err
		}
		l.idle <- conn
	}
	return l, nil
}

func (l *bareMySQL) step(ctx context.Context) (int, error) {
	conn := <-l.idle
	defer func() { l.idle <- conn }()
	now := time.Now().UnixMicro()
	if _, err := conn.ExecContext(ctx, `START TRANSACTION`); err != nil {
		return 0, err
	}
	ids, err := texts(conn.QueryContext(ctx, `SELECT id FROM bare_tasks WHERE next_us <= ? ORDER BY next_us, id LIMIT ? FOR UPDATE SKIP LOCKED`, now, batch))
	if err != nil || len(ids) == 0 {
		_, end := conn.ExecContext(ctx, `COMMIT`)
		return 0, errors.Join(err, end)
	}
	list, runs := anys(ids), make([]any, len(ids))
	for i, id := range ids {
		runs[i] = runIDOf(id)
	}
	in := strings.Repeat("?,", len(ids)-1) + "?)"
	for _, statement := range []string{`UPDATE bare_tasks SET last_us = next_us, next_us = next_us + 3600000000 WHERE id IN (` + in, l.insert + in} {
		if _, err := conn.ExecContext(ctx, statement, list...); err != nil {
			return 0, err
		}
	}
	if _, err := conn.ExecContext(ctx, `COMMIT`); err != nil {
		return 0, err
	}
	return affected(conn.ExecContext(ctx, `UPDATE bare_runs SET state = 'succeeded', finished_us = ?, session_id = '' WHERE state = 'running' AND attempt = 1 AND id IN (`+in,
		append([]any{now}, runs...)...))
}

func (l *bareMySQL) Close() { _ = l.db.Close() }

// bareSQLite has one writer, as the store has, and statements that are parsed once.
type bareSQLite struct {
	db                  *sql.DB
	move, insert, final *sql.Stmt
}

func openBareSQLite(ctx context.Context, b backend, place string) (bareLoop, error) {
	insert, err := prepareBare(ctx, b, place, func(db *sql.DB) error {
		for name, of := range map[string]string{bareTasks: b.tasks, bareRuns: b.runs, bareModel: b.runs} {
			text, err := ask[string](ctx, db, `SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?`, of)
			if err != nil {
				return err
			}
			if err := execAll(ctx, db, strings.Replace(text, "CREATE TABLE "+of, "CREATE TABLE "+name, 1)); err != nil {
				return err
			}
		}
		return execAll(
			ctx, db,
			`CREATE INDEX bare_due ON bare_tasks (next_us, id)`,
			`CREATE UNIQUE INDEX bare_occurrence ON bare_runs (task_id, scheduled_us)`,
		)
	})
	if err != nil {
		return nil, err
	}
	l := &bareSQLite{}
	if l.db, err = connectSQLite(place); err != nil {
		return nil, err
	}
	for statement, to := range map[string]**sql.Stmt{
		`UPDATE bare_tasks SET last_us = next_us, next_us = next_us + 3600000000
			WHERE id IN (SELECT id FROM bare_tasks WHERE next_us <= ? ORDER BY next_us, id LIMIT ?) RETURNING id`: &l.move,
		insert + `json_each(?) AS due CROSS JOIN bare_tasks AS t CROSS JOIN bare_model AS m WHERE t.id = due.value`: &l.insert,
		`UPDATE bare_runs SET state = 'succeeded', finished_us = ?, session = ''
			WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running' AND attempt = 1`: &l.final,
	} {
		if *to, err = l.db.PrepareContext(ctx, statement); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

func (l *bareSQLite) step(ctx context.Context) (int, error) {
	now := time.Now().UnixMicro()
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	ids, err := texts(tx.StmtContext(ctx, l.move).QueryContext(ctx, now, batch))
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	slices.Sort(ids)
	runs := make([]string, len(ids))
	for i, id := range ids {
		runs[i] = runIDOf(id)
	}
	if _, err := tx.StmtContext(ctx, l.insert).ExecContext(ctx, jsonList(ids)); err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	return affected(l.final.ExecContext(ctx, now, jsonList(runs)))
}

func (l *bareSQLite) Close() { _ = l.db.Close() }

// runIDOf is the id that dialect.id makes: as long as those of the library.
func runIDOf(task string) string { return fmt.Sprintf("%026s", task) }

func jsonList(ids []string) string { return `["` + strings.Join(ids, `","`) + `"]` }

func anys(ids []string) []any {
	all := make([]any, len(ids))
	for i, id := range ids {
		all[i] = id
	}
	return all
}

// texts reads a column.
func texts(rows *sql.Rows, err error) (all []string, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func affected(done sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	return int(n), err
}
