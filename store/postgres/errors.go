package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/punctual-go/punctual"
)

// refusal is an error of a decide function, which is handed on as it is.
type refusal struct{ error }

// errAgain makes a transaction start over.
var errAgain = errors.New("postgres: another transaction was in the way")

// Codes of https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	uniqueViolation      = "23505"
	notNullViolation     = "23502"
	undefinedTable       = "42P01"
	undefinedColumn      = "42703"
	undefinedSchema      = "3F000"
	readOnlyTransaction  = "25006" // the server has become a standby
	idleInTransaction    = "25P03" // we were frozen inside a transaction
	forbidden            = "42501"
)

// conflict reports whether a transaction failed because of others, so that the same may succeed at the next try.
func conflict(err error) bool {
	switch codeOf(err) {
	case serializationFailure, deadlockDetected:
		return true
	case uniqueViolation:
		// Two transactions have made the same task. Of other rows that are there already taken speaks.
		var inner *pgconn.PgError
		return errors.As(err, &inner) && inner.ConstraintName == "tasks_pkey"
	}
	return errors.Is(err, errAgain)
}

// taken reports whether an inserted run found its occurrence, or its id, taken.
func taken(err error) bool {
	var inner *pgconn.PgError
	if !errors.As(err, &inner) || !strings.HasSuffix(inner.TableName, "_runs") {
		return false
	}
	return inner.Code == uniqueViolation || inner.Code == notNullViolation && inner.ColumnName == "id"
}

func codeOf(err error) string {
	var inner *pgconn.PgError
	if errors.As(err, &inner) {
		return inner.Code
	}
	return ""
}

// fault classifies an error: a decide function's and the library's own as they are, the context's, the schema's, and those of a server that
// cannot be reached or cannot work for the moment.
func fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.error
	}
	if ours(err) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("postgres: %w", cause) // what the driver says of a call that was given up depends on the moment
	}
	var decoding pgx.ScanArgError
	code := codeOf(err)
	switch {
	case errors.As(err, &decoding):
		return fmt.Errorf("postgres: %w", err)
	case code == undefinedTable, code == undefinedColumn, code == undefinedSchema, code == forbidden:
		return fmt.Errorf("postgres: %w: %w", punctual.ErrStoreSchema, err)
	case code == "", conflict(err), unavailable(code):
		// Without a code it did not come from the server: the connection, or the pool.
		return fmt.Errorf("postgres: %w: %w", punctual.ErrUnavailable, err)
	}
	return fmt.Errorf("postgres: %w", err)
}

// unavailable reports whether a code tells of a server that cannot work at the moment, by its class: connection exception, insufficient
// resources, operator intervention, system error.
func unavailable(code string) bool {
	switch code[:2] {
	case "08", "53", "57", "58":
		return true
	}
	return code == readOnlyTransaction || code == idleInTransaction || code == lockNotAvailable
}

// ours reports whether an error is the contract's own.
func ours(err error) bool {
	for _, known := range []error{
		punctual.ErrLeaseLost, punctual.ErrTaskNotFound, punctual.ErrRunNotFound, punctual.ErrInvalidQuery, punctual.ErrStoreSchema, errStored,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// errStored marks what cannot be read or written though the server is well.
var errStored = errors.New("postgres")
