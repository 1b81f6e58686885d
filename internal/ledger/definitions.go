package ledger

// MaxDefinitions bounds the decoded definitions that a store keeps.
const MaxDefinitions = 10_000

// Keep adds a decoded definition, by the id of its task, to those that a store keeps. When there is no room, any one of the others goes: were it
// all of them, tasks that are due in turn would find their definitions gone each time.
func Keep[T any](kept map[string]T, id string, definition T) {
	if _, known := kept[id]; !known && len(kept) >= MaxDefinitions {
		for other := range kept {
			delete(kept, other)
			break
		}
	}
	kept[id] = definition
}
