// Package configs holds what people write: recipes and settings.
//
// A recipe is a mergekit YAML file (schema of mergekit 0.1.5) with one optional
// section of ours, `mergebot:`. [Parse] reads it and reports every problem at
// once, each with file, line, column and, where one is near, the word that was
// probably meant. mergekit itself drops unknown and misplaced keys without a
// word; here they are errors, because a recipe that is not read as it was
// meant still yields a model.
//
// [LoadSettings] reads what belongs to a machine rather than to a merge:
// where runs are kept, how many connections to open, which device to use.
//
// The package touches no network and, but for [Load] and [LoadSettings], no
// files: whether a repository exists is the planner's question, not this one's.
package configs
