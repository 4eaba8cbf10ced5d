package github

import (
	"fmt"

	gh "github.com/google/go-github/v60/github"
)

const (
	perPage = 100
	// maxPages bounds a list that has to be read to its end.
	maxPages = 100
)

// pages reads a list to its end, or the first limit pages of it; more says that there were others.
//
// A full page is taken to have a next one even when no link says so: the links of an answer that is still the same,
// by its ETag, are from before the next page began.
func pages[T any](limit int, read func(gh.ListOptions) ([]T, *gh.Response, error)) (all []T, more bool, err error) {
	for page := 1; page <= limit; page++ {
		items, resp, err := read(gh.ListOptions{Page: page, PerPage: perPage})
		if err != nil {
			return nil, false, err
		}
		all = append(all, items...)
		if resp.NextPage == 0 && len(items) < perPage {
			return all, false, nil
		}
	}
	return all, true, nil
}

// everything reads a list that would be misleading without its end.
func everything[T any](read func(gh.ListOptions) ([]T, *gh.Response, error)) ([]T, error) {
	all, more, err := pages(maxPages, read)
	if err == nil && more {
		err = fmt.Errorf("there are more than %d", maxPages*perPage)
	}
	return all, err
}
