package report

import (
	"fmt"
	"slices"
	"strings"
)

// Choose keeps those of all whose keys are listed, separated by commas, or all if none is.
func Choose[T any](all []T, list string, key func(T) string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	chosen := slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !slices.Contains(wanted, key(t)) })
	for _, k := range wanted {
		if !slices.ContainsFunc(chosen, func(t T) bool { return key(t) == k }) {
			return nil, fmt.Errorf("there is no %q to choose", k)
		}
	}
	return chosen, nil
}
