package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWallClocksStepAndTimePassesEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &processClock{bubble, newPower()}
		before := c.Now()
		c.power.jump(-time.Hour)
		after := c.Now()
		require.Equal(t, -time.Hour, after.Round(0).Sub(before.Round(0)), "the wall clock was stepped")
		require.Zero(t, after.Sub(before), "no time has passed")
		time.Sleep(time.Minute)
		require.Equal(t, time.Minute, c.Now().Sub(before))
		require.Equal(t, time.Minute, c.Since(before))
		require.True(t, before.Add(30*time.Second).Before(c.Now()))
	})
}
