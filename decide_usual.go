package punctual

// decideUsual decides about what most tasks are shown for: an occurrence that is on time and may start at once, of a task of which nothing else
// is pending or active. It says in c what decideAnyDue says, in a
// fraction of the time; false when something about the task is not as usual.
func (r *rules) decideUsual(v *View, room *room, c *Change) bool {
	task, was := &v.Record.Task, &v.Record.Status
	due := was.NextRunAt
	switch {
	case len(v.Pending)+v.Active+v.KeyWaiting > 0 || v.Slots <= 0 || task.ConcurrencyKey != "" || task.Disabled || was.Paused || was.Delay != 0,
		due.IsZero() || due.After(v.Now) || v.Now.Sub(due) > task.misfireGrace() || !r.mayRun(task.Kind):
		return false
	}
	next := task.nextOccurrence(was.Anchor, due)
	if !next.IsZero() && !next.After(due) {
		return false
	}
	status := &room.status
	*status = Status{Anchor: was.Anchor, NextRunAt: next, LastOccurrence: due}
	run := &room.run[0]
	*run = Run{} // and not all of a Run made anew, which would be copied
	run.ID = r.newID(v.Now)
	run.TaskID, run.TaskName, run.Kind, run.Revision, run.AtMostOnce = task.ID, task.displayName(), task.Kind, task.Revision, task.Lost == LostMark
	run.Trigger, run.ScheduledAt, run.Count, run.CreatedAt = TriggerSchedule, due, 1, v.Now
	run.State, run.Attempt, run.StartedAt, run.Instance, run.Session = StateRunning, 1, v.Now, r.instance, r.session
	*c = Change{Status: status, Insert: room.run[:]}
	return true
}
