package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The usual text of a batch is for what it can say, and makes the rows that the other one makes.
func TestBothTextsOfABatchMakeTheSameRows(t *testing.T) {
	s := crowded(t, 0)
	b := inBatches(`id text, n bigint null, name text null, kind text, open boolean once, at bigint null once, word text once, size smallint once`,
		`SELECT id, n, coalesce(name, id), kind, open, at, word, size FROM {lists} ORDER BY id`)
	rows := func(statement string, args []any) (rows []string) {
		found, err := s.pool.Query(t.Context(), statement, args...)
		require.NoError(t, err)
		rows, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (string, error) {
			values, err := row.Values()
			return strings.TrimSpace(fmt.Sprintln(values...)), err
		})
		require.NoError(t, err)
		return rows
	}
	ids, one, two := []string{"a", "b"}, int64(1), int64(2)
	for _, c := range []struct {
		lists []any
		usual bool
		want  []string
	}{
		{
			[]any{ids, []*int64{&one}, []*string{nil}, []string{"k"}, []bool{true}, []*int64{&two}, []string{"w"}, []int64{3}},
			true,
			[]string{"a 1 a k true 2 w 3", "b 1 b k true 2 w 3"},
		},
		{
			[]any{ids, []*int64{nil}, []*string{nil}, []string{""}, []bool{false}, []*int64{nil}, []string{""}, []int64{0}},
			true,
			[]string{"a <nil> a  false <nil>  0", "b <nil> b  false <nil>  0"},
		},
		{
			[]any{ids, []*int64{&one, nil}, []*string{&ids[1], nil}, []string{"k", "l"}, []bool{true}, []*int64{&two}, []string{"w"}, []int64{3}},
			true,
			[]string{"a 1 b k true 2 w 3", "b <nil> b l true 2 w 3"},
		},
		{
			[]any{ids[:1], []*int64{&one}, []*string{nil}, []string{"k"}, []bool{true}, []*int64{&two}, []string{"w"}, []int64{3}},
			true,
			[]string{"a 1 a k true 2 w 3"},
		},
		{
			[]any{ids, []*int64{&one}, []*string{nil}, []string{"k"}, []bool{true, false}, []*int64{&two, nil}, []string{"w", "x"}, []int64{3, 4}},
			false,
			[]string{"a 1 a k true 2 w 3", "b 1 b k false <nil> x 4"},
		},
		{
			[]any{ids, []*int64{&one}, []*string{nil}, []string{"k"}, []bool{true}, []*int64{&two}, []string{"w"}, []int64{3, 4}},
			false,
			[]string{"a 1 a k true 2 w 3", "b 1 b k true 2 w 4"},
		},
	} {
		assert.Equal(t, c.want, rows(b.general, c.lists))
		statement, args := b.of(c.lists)
		assert.Equal(t, c.usual, statement == b.usual, "%v", c.want)
		assert.Equal(t, c.want, rows(statement, args))
	}
}
