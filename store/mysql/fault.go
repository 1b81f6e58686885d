package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	mysql "github.com/go-sql-driver/mysql"

	"github.com/punctual-go/punctual"
)

// Errors of the server that mean something here
// (https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html, https://mariadb.com/kb/en/mariadb-error-code-reference/).
const (
	errDeadlock     = 1213
	errLockWait     = 1205
	errChanged      = 1020 // MariaDB: the record has changed since it was read
	errDuplicate    = 1062
	errTableExists  = 1050
	errColumnExists = 1060
	errKeyExists    = 1061
	errKeyMissing   = 1091
	errNoTable      = 1146
	errNoColumn     = 1054
)

// passing are errors that have nothing to do with the statement: the server, the connection to it or its disk is not well.
var passing = map[uint16]bool{
	1021: true, 1037: true, 1038: true, 1040: true, 1041: true, 1047: true, 1053: true, 1077: true, 1079: true, 1081: true, 1114: true,
	1129: true, 1135: true, 1152: true, 1158: true, 1159: true, 1160: true, 1161: true, 1180: true, 1184: true, 1203: true, 1226: true,
	1290: true, 1317: true, 1792: true, 1836: true, 1927: true, 1969: true, 3024: true, 3032: true, 3168: true, 3169: true, 4031: true,
}

// denied are errors about rights.
var denied = map[uint16]bool{1044: true, 1045: true, 1142: true, 1143: true, 1227: true, 1370: true, 1698: true}

// number returns the server's number for an error; zero when it is none of the server's.
func number(err error) uint16 {
	var inner *mysql.MySQLError
	if errors.As(err, &inner) {
		return inner.Number
	}
	return 0
}

// refusal is an error of a decide function, which is handed on as it is.
type refusal struct{ error }

// errAgain says that a transaction has met another one's commit and has to be carried out once more.
var errAgain = errors.New("mysql: the task has changed meanwhile")

// conflict reports whether a transaction may be repeated, and after how many tries that is pointless.
func conflict(err error) (tries int, again bool) {
	switch number(err) {
	case errDeadlock, errChanged:
		return 50, true
	case errLockWait:
		return 2, true // each has waited for innodb_lock_wait_timeout
	}
	return 50, errors.Is(err, errAgain)
}

// fault classifies an error: a decide function's, the context's, the server's that may pass, and all others as they are.
func fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.error
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("mysql: %w", cause) // what the driver says of a call that was given up depends on the moment
	}
	n := number(err)
	var network net.Error
	_, again := conflict(err)
	switch {
	case again, passing[n], errors.As(err, &network), errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, mysql.ErrMalformPkt),
		errors.Is(err, mysql.ErrPktSync), errors.Is(err, mysql.ErrPktSyncMul), errors.Is(err, mysql.ErrBusyBuffer):
		return fmt.Errorf("mysql: %w: %w", punctual.ErrUnavailable, err)
	case denied[n]:
		return fmt.Errorf("mysql: the user lacks a right: %w", err)
	case n != 0:
		return fmt.Errorf("mysql: %w", err)
	}
	return err
}
