package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

type place struct {
	rank int64
	id   string
}

func (p place) Place() (int64, string) { return p.rank, p.id }

func TestFirstDueAreEachTaskOnceInDueOrder(t *testing.T) {
	found := []place{{3, "c"}, {1, "b"}, {2, "b"}, {1, "a"}, {2, "d"}}
	assert.Equal(t, []place{{1, "a"}, {1, "b"}, {2, "d"}}, ledger.FirstDue(append([]place(nil), found...), 3))
	assert.Equal(t, []place{{1, "a"}, {1, "b"}, {2, "d"}, {3, "c"}}, ledger.FirstDue(append([]place(nil), found...), 9))
	assert.Empty(t, ledger.FirstDue([]place{}, 3))
}

func TestWhatDoesAnythingDecides(t *testing.T) {
	for _, c := range []punctual.Change{
		{Status: &punctual.Status{}}, {Insert: make([]punctual.Run, 1)}, {Update: make([]punctual.Run, 1)}, {Cancel: make([]punctual.CancelOrder, 1)},
	} {
		assert.True(t, ledger.Decides(&c), "%+v", c)
	}
	assert.False(t, ledger.Decides(&punctual.Change{Deferred: true}), "it is put off")
}
