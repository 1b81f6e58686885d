package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/punctual-go/punctual/bench/internal/machine"
)

// Basis is what figures were taken on.
type Basis struct {
	Date     string // of the beginning
	Quick    bool   // a short run
	Machine  machine.Machine
	Versions []string // of what was measured, with names
	Rounds   string
	Took     time.Duration
	Nice     int     // of the process and its children; less than zero for precedence over others
	Others   float64 // cores that other processes used meanwhile; less than zero when that is not known
}

// Write writes it as a paragraph.
func (r Basis) Write() string {
	var b strings.Builder
	m := r.Machine
	b.WriteString(r.Date)
	if r.Quick {
		b.WriteString(", a short run (`-quick`)")
	}
	fmt.Fprintf(&b, ". %d CPUs", m.CPUs)
	if m.CPU != "" {
		b.WriteString(" (" + m.CPU + ")")
	}
	if m.Memory > 0 {
		fmt.Fprintf(&b, ", %.0f GB of memory", float64(m.Memory)/1e9)
	}
	fmt.Fprintf(&b, ", %s, %s, GC and GOMAXPROCS as they are by default.", m.OS, m.Go)
	fmt.Fprintf(&b, " %s. %s. The run took %s", strings.Join(r.Versions, ", "), r.Rounds, Length(r.Took.Round(time.Second)))
	if r.Others >= 0 {
		b.WriteString("; other processes used " + strconv.FormatFloat(r.Others, 'f', 2, 64) + " cores meanwhile")
	}
	if r.Nice < 0 {
		fmt.Fprintf(&b, ", over which this one had precedence (nice %d)", r.Nice)
	}
	b.WriteString(".\n")
	return b.String()
}
