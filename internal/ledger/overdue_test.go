package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/internal/ledger"
)

func TestOverdueKeepsTheFirstOfEachKind(t *testing.T) {
	o := ledger.Overdue{}
	assert.Empty(t, o.List())
	o.Note("b", 5)
	o.Note("a", 7)
	o.Note("b", 4)
	o.Note("b", 6)
	assert.Equal(t, []punctual.Overdue{{Kind: "a", Since: time.UnixMicro(7).UTC()}, {Kind: "b", Since: time.UnixMicro(4).UTC()}}, o.List())
}

func TestKindsAreKeptAndUnknownOnesCountAsAll(t *testing.T) {
	for _, kinds := range [][]string{{}, {""}, {"b", "a \"x\", y"}} {
		text, _ := ledger.KindsText(kinds).(string)
		assert.Equal(t, kinds, ledger.KindsOf(&text))
	}
	assert.Nil(t, ledger.KindsText(nil))
	assert.Nil(t, ledger.KindsOf(nil))
	garbled := `["a"`
	assert.Nil(t, ledger.KindsOf(&garbled))
}
