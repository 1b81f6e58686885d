package postgres

import (
	"fmt"
	"strings"
	"time"
)

// lists is a table u, for the FROM of a statement, that is made of one list for each column: parameter 1 is the first column's, and so on.
// Columns are named with their type, and with "null" if there may be none. A list of one value stands for a whole column of it, except
// for the first column, which says how many rows there are: what is the same for all rows, as most columns are, is sent and unpacked once.
func lists(columns string) string {
	var params, names, values []string
	for i, column := range strings.Split(columns, ",") {
		words := strings.Fields(column)
		name, param := words[0], fmt.Sprintf("$%d::%s[]", i+1, words[1])
		value := fmt.Sprintf("coalesce(l.%s, (%s)[1])", name, param)
		switch {
		case i == 0:
			value = "l." + name
		case len(words) == 3:
			value = fmt.Sprintf("CASE WHEN cardinality(%[2]s) = 1 THEN (%[2]s)[1] ELSE l.%[1]s END", name, param)
		}
		params, names, values = append(params, param), append(names, name), append(values, value+" AS "+name)
	}
	return fmt.Sprintf("(SELECT %s FROM unnest(%s) AS l (%s)) AS u", strings.Join(values, ", "), strings.Join(params, ", "), strings.Join(names, ", "))
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
