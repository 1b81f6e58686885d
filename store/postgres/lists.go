package postgres

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// lists is a table u, for the FROM of a statement, that is made of one list for each column: parameter 1 is the first column's, and so on.
// Columns are named with their type, and with "null" if there may be none. A list of one value stands for a whole column of it, except
// for the first column, which says how many rows there are: what is the same for all rows, as most columns are, is sent and unpacked once.
func lists(columns string) string { return table(columns, false) }

// table is lists; or, with usual, the same for batches whose marked columns have one value each, which are no lists then.
func table(columns string, usual bool) string {
	var params, names, values []string
	for i, column := range strings.Split(columns, ",") {
		words := strings.Fields(column)
		name, param := words[0], fmt.Sprintf("$%d::%s", i+1, words[1])
		if usual && isOnce(column) {
			values = append(values, param+" AS "+name)
			continue
		}
		param += "[]"
		value := fmt.Sprintf("coalesce(l.%s, (%s)[1])", name, param)
		switch {
		case i == 0:
			value = "l." + name
		case slices.Contains(words, "null"):
			value = fmt.Sprintf("CASE WHEN cardinality(%[2]s) = 1 THEN (%[2]s)[1] ELSE l.%[1]s END", name, param)
		}
		params, names, values = append(params, param), append(names, name), append(values, value+" AS "+name)
	}
	return fmt.Sprintf("(SELECT %s FROM unnest(%s) AS l (%s)) AS u", strings.Join(values, ", "), strings.Join(params, ", "), strings.Join(names, ", "))
}

// isOnce reports whether a column is marked with "once": in most batches it has one value for all rows.
func isOnce(column string) bool { return strings.HasSuffix(column, " once") }

// batch is a statement about the rows of lists in two texts. When all columns that are marked have one value, these go to the server as they are,
// which then need not pick them from lists for each row.
type batch struct {
	general, usual string
	once           []int // the places of those columns among the parameters
}

// inBatches makes both texts of a statement, with lists of some columns for {lists}.
func inBatches(columns, statement string) (b batch) {
	b.general = strings.ReplaceAll(statement, "{lists}", table(columns, false))
	b.usual = strings.ReplaceAll(statement, "{lists}", table(columns, true))
	for i, column := range strings.Split(columns, ",") {
		if isOnce(column) {
			b.once = append(b.once, i)
		}
	}
	return b
}

// of chooses the text for some lists, and its arguments.
func (b *batch) of(lists []any) (statement string, args []any) {
	args = slices.Clone(lists)
	for _, i := range b.once {
		value, one := only(lists[i])
		if !one {
			return b.general, lists
		}
		args[i] = value
	}
	return b.usual, args
}

// only returns the one value of a list.
func only(list any) (value any, one bool) {
	switch list := list.(type) {
	case []string:
		return onlyOf(list)
	case []int64:
		return onlyOf(list)
	case []*int64:
		return onlyOf(list)
	case []bool:
		return onlyOf(list)
	}
	return nil, false
}

func onlyOf[V any](list []V) (any, bool) {
	if len(list) != 1 {
		return nil, false
	}
	return list[0], true
}

// whole makes the first list of lists.
func whole[R any, V any](rows []R, of func(*R) V) []V {
	column := make([]V, len(rows))
	for i := range rows {
		column[i] = of(&rows[i])
	}
	return column
}

// list makes another list of lists.
func list[R any, V comparable](rows []R, of func(*R) V) []V {
	first := of(&rows[0])
	for i := range rows {
		if of(&rows[i]) != first {
			return whole(rows, of)
		}
	}
	return []V{first}
}

// times makes a list of times, of which any may be zero.
func times[R any](rows []R, of func(*R) time.Time) []*int64 {
	first := of(&rows[0])
	for i := range rows {
		if !of(&rows[i]).Equal(first) {
			return whole(rows, func(r *R) *int64 { return toMicros(of(r)) })
		}
	}
	return []*int64{toMicros(first)}
}
