package service

import (
	"context"
	"strings"

	"github.com/punctual-go/punctual"
)

// Line is one line of a difference.
type Line struct {
	Op   string `json:"op"` // "=", "+" or "-"
	Text string `json:"text"`
}

// Diff is what changed between an answer and the success before it.
type Diff struct {
	RunID    string `json:"run_id"`
	BeforeID string `json:"before_id"` // empty when there was no success before
	Changed  bool   `json:"changed"`
	Lines    []Line `json:"lines"`
}

// Entry returns one entry of the log, with the whole output.
func (s *Service) Entry(ctx context.Context, runID string) (LogEntry, string, error) {
	run, err := s.scheduler.Run(ctx, runID)
	if err != nil {
		return LogEntry{}, "", err
	}
	return logEntry(run), run.Result.Output, nil
}

// Diff compares the output of a run with that of the success before it.
func (s *Service) Diff(ctx context.Context, runID string) (Diff, error) {
	run, err := s.scheduler.Run(ctx, runID)
	if err != nil {
		return Diff{}, err
	}
	d := Diff{RunID: run.ID}
	before, err := s.scheduler.Runs(ctx, punctual.RunQuery{
		TaskID: run.TaskID, States: []punctual.State{punctual.StateSucceeded}, Before: run.ID, Limit: 1,
	})
	if err != nil {
		return Diff{}, err
	}
	var old string
	if len(before) > 0 {
		d.BeforeID, old = before[0].ID, before[0].Result.Output
	}
	d.Lines = diffLines(lines(old), lines(run.Result.Output))
	for _, l := range d.Lines {
		d.Changed = d.Changed || l.Op != "="
	}
	return d, nil
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// maxCells bounds the table of a comparison; longer texts are compared only in what their beginnings and ends have in common.
const maxCells = 4_000_000

// diffLines is the shortest difference by lines: the longest common subsequence stays.
func diffLines(a, b []string) []Line {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	out := make([]Line, 0, len(b))
	for _, text := range a[:head] {
		out = append(out, Line{"=", text})
	}
	out = append(out, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, text := range a[len(a)-tail:] {
		out = append(out, Line{"=", text})
	}
	return out
}

func middle(a, b []string) []Line {
	var out []Line
	common := make([][]int32, 0)
	if len(a)*len(b) <= maxCells {
		// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
		common = make([][]int32, len(a)+1)
		for i := range common {
			common[i] = make([]int32, len(b)+1)
		}
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i][j] = common[i+1][j+1] + 1
				} else {
					common[i][j] = max(common[i+1][j], common[i][j+1])
				}
			}
		}
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) && len(common) > 0 {
		switch {
		case a[i] == b[j]:
			out = append(out, Line{"=", a[i]})
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out = append(out, Line{"-", a[i]})
			i++
		default:
			out = append(out, Line{"+", b[j]})
			j++
		}
	}
	for ; i < len(a); i++ {
		out = append(out, Line{"-", a[i]})
	}
	for ; j < len(b); j++ {
		out = append(out, Line{"+", b[j]})
	}
	return out
}
