package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
)

// schemaOf describes all tables and indexes.
func schemaOf(t *testing.T, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	_, err := collect(t.Context(), reading{s.read}, func(rows rows) (struct{}, error) {
		var name string
		var text sql.NullString
		err := rows.Scan(&name, &text)
		all[name] = text.String
		return struct{}{}, err
	}, `SELECT name, sql FROM sqlite_schema`)
	require.NoError(t, err)
	return all
}

// A file of each earlier version is brought up to date, keeps what it has and works on.
func TestOlderSchemasAreBroughtUpToDate(t *testing.T) {
	fresh, err := Open(t.Context(), filepath.Join(t.TempDir(), "tasks.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, fresh.Close()) }()
	steps, err := migrations()
	require.NoError(t, err)
	for version := 1; version < len(steps); version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tasks.db")
			db, err := sql.Open("sqlite", path)
			require.NoError(t, err)
			for _, statement := range append(steps[:version:version], fmt.Sprintf("PRAGMA application_id = %d", applicationID),
				fmt.Sprintf("PRAGMA user_version = %d", version),
				`INSERT INTO tasks VALUES ('a', 'a', '', 1, '{"id":"a","schedule":"every 1h","revision":1}', 'null', 0, 1, 0, 0, 1, NULL, 0, '', '', '', 0, '', 0, 0)`,
				`INSERT INTO runs (id, task_id, task_name, kind, trigger_, scheduled_us, attempt, state, key, priority, finished_us, instance, session, revision,
					at_most_once, created_us) VALUES ('old', 'a', 'a', '', 'schedule', 0, 1, 'succeeded', '', 0, 2, '', '', 1, 0, 1)`) {
				_, err := db.ExecContext(context.Background(), statement)
				require.NoError(t, err, statement)
			}
			require.NoError(t, db.Close())

			s, err := Open(t.Context(), path)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close()) }()
			assert.Equal(t, schemaOf(t, fresh), schemaOf(t, s))
			old, err := s.Run(t.Context(), "old")
			require.NoError(t, err)
			assert.Equal(t, punctual.StateSucceeded, old.State)
			var seen []punctual.View
			reply, err := s.Claim(t.Context(), claimOf(&seen))
			require.NoError(t, err)
			require.Len(t, reply.Started, 1)
			finish(t, s, reply.Started[0].ID, "a", punctual.StateSucceeded)
			assert.Equal(t, 1, trimBefore(t, s, 3))
		})
	}
}
