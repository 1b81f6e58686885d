package cronexpr

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestExplainSaysItInWords(t *testing.T) {
	berlin := Options{Location: location(t, "Europe/Berlin"), HashKey: "report"}
	for _, test := range []struct{ text, want string }{
		{"0 9 * * MON-FRI", "at 09:00 on Monday to Friday, Europe/Berlin"},
		{"0 9 * * *", "at 09:00 every day, Europe/Berlin"},
		{"@daily", "at 00:00 every day, Europe/Berlin"},
		{"@hourly", "at minute 0 of every hour, Europe/Berlin"},
		{"@yearly", "at 00:00 on the 1st of the month, in January, Europe/Berlin"},
		{"CRON_TZ=UTC 0,30 9,17 * * 1", "at 09:00, 09:30, 17:00 and 17:30 on Monday, UTC"},
		{"* * * * *", "every minute, Europe/Berlin"},
		{"* * * * * *", "every second, Europe/Berlin"},
		{"*/15 * * * *", "every 15 minutes, Europe/Berlin"},
		{"5/20 * * * *", "every 20 minutes from minute 5, Europe/Berlin"},
		{"*/7 * * * *", "at every 7th minute from 0 of every hour, Europe/Berlin"},
		{"30 * * * *", "at minute 30 of every hour, Europe/Berlin"},
		{"0 */2 * * *", "at minute 0 of every 2nd hour from 0, Europe/Berlin"},
		{"*/15 1-3 * * *", "every 15 minutes from 01:00 to 03:59, Europe/Berlin"},
		{"*/15 1,3 * * *", "every 15 minutes of hours 1 and 3, Europe/Berlin"},
		{"*/10 * * * * *", "every 10 seconds, Europe/Berlin"},
		{"30 * * * * *", "at second 30 of every minute, Europe/Berlin"},
		{"30 15 * * * *", "at second 30 of minute 15 of every hour, Europe/Berlin"},
		{"* 30 2 * * *", "every second of 02:30 every day, Europe/Berlin"},
		{"15 30 2 * * *", "at 02:30:15 every day, Europe/Berlin"},
		{"30 9-17 * * 1-5", "every hour from 09:30 to 17:30 on Monday to Friday, Europe/Berlin"},
		{"10-20,40 9-17/2 * * *", "at minutes 10 to 20 and 40 of every 2nd hour from 9 to 17 every day, Europe/Berlin"},
		{"0 0 1,15 * *", "at 00:00 on the 1st and 15th of the month, Europe/Berlin"},
		{"0 0 1-7,22 * ?", "at 00:00 on the 1st to 7th and 22nd of the month, Europe/Berlin"},
		{"0 0 L 2 1", "at 00:00 on the last day of the month or on Monday, in February, Europe/Berlin"},
		{"0 0 */2 * 1", "at 00:00 on every 2nd day from the 1st of the month if that is Monday, Europe/Berlin"},
		{"0 0 10-20/5 * *", "at 00:00 on every 5th day from the 10th to the 20th of the month, Europe/Berlin"},
		{"0 0 L-1,L-3,LW,L-2W,15W * *", "at 00:00 on the day before the last, the 3rd day before the last, the last weekday, " +
			"the weekday nearest to the 2nd day before the last and the weekday nearest to the 15th of the month, Europe/Berlin"},
		{"0 0 * * 5#2,7L", "at 00:00 on the 2nd Friday of the month and the last Sunday of the month, Europe/Berlin"},
		{"0 0 * * */2", "at 00:00 on Sunday, Tuesday, Thursday and Saturday, Europe/Berlin"},
		{"0 0 * NOV-FEB,6 *", "at 00:00 every day, in November to February and June, Europe/Berlin"},
		{"0 0 0 1 1 ? 2027,2030-2032", "at 00:00 on the 1st of the month, in January, in 2027 and 2030 to 2032, Europe/Berlin"},
		{"0 0 0 1 1 ? 2028/4", "at 00:00 on the 1st of the month, in January, in every 4th year from 2028, Europe/Berlin"},
		{"H H * * *", "at 17:47 every day, Europe/Berlin"},
		{"*/5 H(22-2) * * *", "every 5 minutes from 02:00 to 02:59, Europe/Berlin"},
		{"H/15 * * * *", "every 15 minutes from minute 2, Europe/Berlin"},
	} {
		assert.Equal(t, test.want, mustParse(t, test.text, berlin).Explain(), test.text)
	}
	assert.Equal(t, "at 02:30 every day, UTC; times that the clocks jump over are dropped; times that come twice count the second time",
		mustParse(t, "30 2 * * *", Options{Gap: GapSkip, Fold: FoldSecond}).Explain())
	assert.Equal(t, "at 02:30 every day, UTC; times that the clocks jump over occur later by the length of the jump; times that come twice count both times",
		mustParse(t, "30 2 * * *", Options{Gap: GapShift, Fold: FoldBoth}).Explain())
}
