package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Each measurement has a process of its own: the program itself, started with Flag, which reads one order from its standard input and
// writes one answer. So what one leaves behind, memory above all, does not burden the next, what getrusage counts belongs to it alone, and
// whatever takes too long can be stopped.

// Flag as the first argument makes a program a child.
const Flag = "-child"

// ErrLimit says that a child took too long and was stopped.
var ErrLimit = errors.New("stopped by its limit")

// Command makes the command that runs this program as a child.
func Command(ctx context.Context) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, Flag)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // a race-enabled program would sleep for a second before it exits
	return cmd, nil
}

// Run has an order carried out by a child and reads its answer. The error is ErrLimit when it took longer than the limit, that of ctx when
// that is done, and else tells the first line of the child's complaints.
func Run(ctx context.Context, order, answer any, limit time.Duration) error {
	input, err := json.Marshal(order)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd, err := Command(limited)
	if err != nil {
		return err
	}
	var out, complaints bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &complaints
	failure := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return ErrLimit
	case failure != nil:
		reason, _, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n")
		return fmt.Errorf("%w: %s", failure, reason)
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		return fmt.Errorf("a child wrote %q: %w", out.Bytes(), err)
	}
	return nil
}

// Serve carries out the one order of a child.
func Serve[Order, Answer any](in io.Reader, out io.Writer, carryOut func(Order) (Answer, error)) error {
	var order Order
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	answer, err := carryOut(order)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(answer)
}
