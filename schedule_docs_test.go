package punctual_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/punctual-go/punctual"
)

func TestScheduleTextsInTheDocumentationAreRead(t *testing.T) {
	document := read(t, "docs/schedules.md")
	kind := regexp.MustCompile(`^(every|daily|weekly|monthly|cron|once|union|@\w+|CRON_TZ=\S+) [^.]`)
	var texts []string
	for _, match := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(document, -1) {
		texts = append(texts, strings.ReplaceAll(match[1], `\|`, "|"))
	}
	for _, block := range regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(document, -1) {
		texts = append(texts, strings.Split(block[1], "\n")...)
	}
	checked := 0
	for _, text := range texts {
		if !kind.MatchString(text) || strings.HasPrefix(text, "every 15 minutes from") {
			continue
		}
		checked++
		_, err := punctual.ParseSchedule(text)
		assert.NoError(t, err)
	}
	assert.Greater(t, checked, 20)
}
