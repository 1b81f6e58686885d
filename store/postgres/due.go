package postgres

import (
	"fmt"
	"strings"

	"github.com/punctual-go/punctual"
)

// What is due stands in lanes, one for each kind and priority: within a lane due order is the order of the index, so what is due of kinds that
// are not asked for costs nothing, however much it is. Parameters of the statements: 1 is the format that the library knows, 2 the kinds that
// are left out. If something is locked, or asked how long it has been due, 3 is now (null for the start of the transaction, by the server's clock) and 4 the limit. If the next is
// asked for, 3 to 6 are kind, priority, due time and id of what was taken last, null for nothing, and 7 is now. Last come the kinds that are asked for, unless it is all.
var (
	// dueTasks and dueRuns lock the tasks for which something is due, those that come first in due order, and pass over those that somebody
	// else has locked. Each answers with the kind and due time of what is due, and its rank in due order.
	dueTasks = source{ofTasks(lockDue, someKinds), ofTasks(lockDue, allKinds)}
	dueRuns  = source{ofRuns(lockDue, someKinds), ofRuns(lockDue, allKinds)}

	// nextTask and nextRun find when something is due next.
	nextTask = source{ofTasks(selectFirst, someKinds), ofTasks(selectFirst, allKinds)}
	nextRun  = source{ofRuns(selectFirst, someKinds), ofRuns(selectFirst, allKinds)}

	// overdueTasks and overdueRuns list the kinds of which something has been due for the microseconds in 4.
	overdueTasks = ofTasks(selectOverdue, allKinds)
	overdueRuns  = ofRuns(selectOverdue, allKinds)
)

// source is a statement about the lanes of one table: of the kinds that are asked for, and of all.
type source struct{ some, all string }

const (
	// someKinds are the lanes of some kinds, with the first item of each.
	someKinds = `WITH kinds (kind) AS (SELECT unnest({kinds}::text[])),
		lanes AS MATERIALIZED (
			SELECT kinds.kind, ranks.priority, ranks.priority * {step} AS head, first.due, first.id
			FROM kinds CROSS JOIN generate_series({low}, {high}) AS ranks (priority)
			CROSS JOIN LATERAL (SELECT {x}.{due} AS due, {x}.id FROM {table} {x}
				WHERE {owed} AND {known} AND {x}.kind = kinds.kind AND {x}.priority = ranks.priority {until}
				ORDER BY {x}.{due}, {x}.id LIMIT 1) AS first
			WHERE kinds.kind <> ALL ($2::text[]))`

	// allKinds steps from lane to lane along the index.
	allKinds = `WITH RECURSIVE firsts (kind, priority, {due}, id) AS (
			(SELECT {x}.kind, {x}.priority, {x}.{due}, {x}.id FROM {table} {x} WHERE {owed} AND {known}
				ORDER BY {x}.kind, {x}.priority, {x}.{due}, {x}.id LIMIT 1)
			UNION ALL
			SELECT next.* FROM firsts f CROSS JOIN LATERAL (
				SELECT {x}.kind, {x}.priority, {x}.{due}, {x}.id FROM {table} {x} WHERE {owed} AND {known} AND ({x}.kind, {x}.priority) > (f.kind, f.priority)
				ORDER BY {x}.kind, {x}.priority, {x}.{due}, {x}.id LIMIT 1) AS next),
		lanes AS MATERIALIZED (
			SELECT {x}.kind, {x}.priority, {x}.priority * {step} AS head, {x}.{due} AS due, {x}.id FROM firsts {x}
			WHERE {x}.kind <> ALL ($2::text[]) {until})`

	// lockDue takes from each lane as many as are among the first of all. One lane takes all, and more have to be looked at beforehand. It begins
	// at the first item of a lane: before that, the index leads to row after row that was moved on a moment ago. If that item is one of a stretch that
	// a claim under way has taken (5 to 10: kind, priority, due time and id of its first item, and of its last), it begins at the last of the stretch.
	lockDue = `, starts AS MATERIALIZED (
			SELECT l.kind, l.priority, l.head, coalesce(taken.due, l.due) AS due, coalesce(taken.id, l.id) AS id FROM lanes l LEFT JOIN LATERAL (
				SELECT due, id FROM unnest($5::text[], $6::smallint[], $7::bigint[], $8::text[], $9::bigint[], $10::text[]) AS p (kind, priority, first_due, first_id, due, id)
				WHERE p.kind = l.kind AND p.priority = l.priority AND (l.due, l.id) >= (p.first_due, p.first_id) AND (l.due, l.id) <= (p.due, p.id)
				ORDER BY due DESC, id DESC LIMIT 1) AS taken ON true),
		shares AS MATERIALIZED (
			SELECT kind, priority, head, due, id, $4::bigint AS n FROM starts WHERE (SELECT count(*) FROM lanes) = 1
			UNION ALL
			SELECT kind, priority, head, due, id, count(*) FROM (
				SELECT l.* FROM starts l
				CROSS JOIN LATERAL (SELECT {x}.{due} AS next FROM {table} {x} WHERE {owed} AND {known} AND {x}.kind = l.kind AND {x}.priority = l.priority {until}
					AND ({x}.{due}, {x}.id) >= (l.due, l.id) ORDER BY {x}.{due}, {x}.id LIMIT $4) AS due
				WHERE (SELECT count(*) FROM lanes) > 1
				ORDER BY due.next - l.head LIMIT $4) AS first
			GROUP BY kind, priority, head, due, id)
		SELECT taken.* FROM shares s CROSS JOIN LATERAL (
			SELECT ` + taskColumns + `, s.kind AS due_kind, {x}.{due} AS due_us, {x}.{due} - s.head AS rank
			FROM {from} WHERE {owed} AND t.fault = '' AND t.format <= $1 AND {x}.kind = s.kind AND {x}.priority = s.priority {until}
				AND ({x}.{due}, {x}.id) >= (s.due, s.id)
			ORDER BY {x}.{due}, {x}.id LIMIT s.n FOR NO KEY UPDATE OF t SKIP LOCKED) AS taken`

	// selectFirst looks behind the last item that was taken, given by lane and place, before it looks for the first of all: after a claim, much of
	// what the index has in front of that was moved on by the claim itself.
	selectFirst = ` SELECT CASE WHEN EXISTS (
			SELECT 1 FROM {table} {x} WHERE {owed} AND {known} AND {x}.kind = $3::text AND {x}.priority = $4::smallint
				AND ({x}.{due}, {x}.id) > ($5::bigint, $6::text) AND {x}.{due} <= $7::bigint)
		THEN $5::bigint ELSE (SELECT min(due) FROM lanes) END`

	selectOverdue = ` SELECT kind, min(due) FROM lanes WHERE due <= ` + now + ` - $4::bigint GROUP BY kind`

	// now is evaluated once in each statement, so that it bounds the range of the index that is looked at.
	now = `(SELECT coalesce($3::bigint, (extract(epoch FROM now()) * 1000000)::bigint))`
)

// ofTasks and ofRuns make statements about tasks that owe an occurrence, and about pending runs.
func ofTasks(statement, kinds string) string {
	return about(statement, kinds, "{x}", "t", "{table}", "{schema}.tasks", "{from}", "{schema}.tasks t", "{due}", "next_us",
		"{owed}", "t.next_us IS NOT NULL AND t.fault = ''", "{known}", "t.format <= $1", "{until}", "AND t.next_us <= "+now)
}

func ofRuns(statement, kinds string) string {
	return about(statement, kinds, "{x}", "r", "{table}", "{schema}.live_runs", "{from}", "{schema}.live_runs r JOIN {schema}.tasks t ON t.id = r.task_id",
		"{due}", "due_us", "{owed}", "r.state = 'pending' AND r.due_us IS NOT NULL",
		"{known}", "EXISTS (SELECT 1 FROM {schema}.tasks t WHERE t.id = r.task_id AND t.fault = '' AND t.format <= $1)", "{until}", "AND r.due_us <= "+now)
}

// about fills in the words of a statement.
func about(statement, kinds string, words ...string) string {
	given := "$5"
	switch statement {
	case selectFirst:
		given = "$8"
	case lockDue:
		given = "$11"
	}
	if statement != lockDue {
		kinds = strings.ReplaceAll(kinds, "{until}", "")
	}
	words = append(words, "{kinds}", given, "{step}", fmt.Sprint(punctual.PriorityStep.Microseconds()),
		"{low}", fmt.Sprint(punctual.MinPriority), "{high}", fmt.Sprint(punctual.MaxPriority))
	return strings.NewReplacer(words...).Replace(kinds + statement)
}

// of chooses between the statements about some kinds and about all, and adds the kinds to the arguments.
func (s source) of(kinds []string, args ...any) (statement string, with []any) {
	if kinds == nil {
		return s.all, args
	}
	return s.some, append(args, kinds)
}
