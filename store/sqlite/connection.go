package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"modernc.org/sqlite"
)

// connection is the one connection that writes, or the one with which claims read ahead. It is the driver's own and not one of database/sql: a
// claim and a finish have a statement for each of their rows, and what database/sql does around a statement costs more than most of them.
// Statements are parsed once.
type connection struct {
	turn   chan struct{} // holds a token while nobody uses what stands below
	driver driverConnection
	made   map[string]driverStatement // by text
	args   []driver.NamedValue        // room for those of one statement
}

type driverConnection interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	sqlite.DBStatus
}

type driverStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

var errClosed = errors.New("sqlite: the store is closed")

func newConnection() *connection {
	c := &connection{turn: make(chan struct{}, 1), made: make(map[string]driverStatement)}
	c.turn <- struct{}{}
	return c
}

// with lets work use the connection alone.
func (c *connection) with(ctx context.Context, work func() error) error {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	if c.driver == nil {
		return errClosed
	}
	return work()
}

// taken reports whether somebody uses the connection just now.
func (c *connection) taken() bool { return len(c.turn) == 0 }

// written returns how many pages were written since it was called last.
func (c *connection) written() int {
	pages, _, _ := c.driver.Status(sqlite.DBStatusCacheWrite, true) // only what it does not know is an error
	return pages
}

// open connects, if that has not happened.
func (c *connection) open(d driver.Driver, dsn string) error {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.driver != nil {
		return nil
	}
	conn, err := d.Open(dsn)
	if err != nil {
		return err
	}
	c.driver = conn.(driverConnection)
	return nil
}

func (c *connection) close() (err error) {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.driver == nil {
		return nil
	}
	for _, stmt := range c.made {
		err = errors.Join(err, stmt.Close())
	}
	err = errors.Join(err, c.driver.Close())
	c.driver, c.made = nil, nil
	return err
}

// statement returns a statement that is parsed at most once. There are not many, since all of them are constants.
func (c *connection) statement(ctx context.Context, text string) (driverStatement, error) {
	if stmt := c.made[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := c.driver.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	c.made[text] = stmt.(driverStatement)
	return c.made[text], nil
}

// bind makes arguments what drivers take. They are valid until the next call.
func (c *connection) bind(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, arg := range args {
		value := driver.NamedValue{Ordinal: i + 1, Value: arg}
		switch arg := arg.(type) {
		case nil, int64, string, bool:
		case int:
			value.Value = int64(arg)
		default:
			var err error
			if value.Value, err = driver.DefaultParameterConverter.ConvertValue(arg); err != nil {
				return nil, err
			}
		}
		c.args = append(c.args, value)
	}
	return c.args, nil
}

// exec implements statements.
func (c *connection) exec(ctx context.Context, text string, args ...any) (int64, error) {
	stmt, err := c.statement(ctx, text)
	if err != nil {
		return 0, err
	}
	values, err := c.bind(args)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, values)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query implements statements.
func (c *connection) query(ctx context.Context, text string, args ...any) (rows, error) {
	stmt, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	values, err := c.bind(args)
	if err != nil {
		return nil, err
	}
	found, err := stmt.QueryContext(ctx, values)
	if err != nil {
		return nil, err
	}
	return &driverRows{rows: found, values: make([]driver.Value, len(found.Columns()))}, nil
}

// driverRows are rows of a connection.
type driverRows struct {
	rows   driver.Rows
	values []driver.Value
	err    error
}

// Next implements rows.
func (r *driverRows) Next() bool {
	r.err = r.rows.Next(r.values)
	return r.err == nil
}

// Err implements rows.
func (r *driverRows) Err() error {
	if errors.Is(r.err, io.EOF) {
		return nil
	}
	return r.err
}

// Close implements rows.
func (r *driverRows) Close() error { return r.rows.Close() }

// Scan implements rows, for the types that this package asks for.
func (r *driverRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("sqlite: %d columns are read into %d places", len(r.values), len(dest))
	}
	for i, value := range r.values {
		if err := assign(dest[i], value); err != nil {
			return fmt.Errorf("sqlite: column %d: %w", i, err)
		}
	}
	return nil
}

func assign(dest any, value driver.Value) error {
	var ok bool
	switch dest := dest.(type) {
	case *string:
		*dest, ok = value.(string)
	case *int64:
		*dest, ok = value.(int64)
	case *int:
		var n int64
		n, ok = value.(int64)
		*dest = int(n)
	case *bool:
		var n int64
		n, ok = value.(int64)
		*dest = n != 0
	case sql.Scanner:
		return dest.Scan(value)
	}
	if !ok {
		return fmt.Errorf("%T does not fit into %T", value, dest)
	}
	return nil
}
