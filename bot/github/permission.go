package github

import (
	"context"
	"fmt"
	"regexp"

	"mergebot/bot/forge"
)

var loginPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}(?:\[bot\])?$`)

// Permission goes by the team where there is one, else by the right to write to the repository. Whatever cannot be
// found out is an error, never a permission.
func (c *Client) Permission(ctx context.Context, login string) (forge.Permission, error) {
	if !loginPattern.MatchString(login) { // it becomes part of an address
		return forge.None, fmt.Errorf("github: %s: %q is not a login", c.Repo(), cut(login, 100, "…"))
	}
	if c.team != "" {
		m, _, err := c.gh.Teams.GetTeamMembershipBySlug(ctx, c.org, c.team, login)
		switch {
		case gone(err):
			return forge.None, nil
		case err != nil:
			return forge.None, c.fail(ctx, err, "read whether %s is in the team %s", login, c.o.Team)
		case m.GetState() == "active": // "pending" has not accepted yet
			return forge.Write, nil
		}
		return forge.None, nil
	}
	level, _, err := c.gh.Repositories.GetPermissionLevel(ctx, c.o.Owner, c.o.Name, login)
	switch {
	case gone(err):
		return forge.None, nil
	case err != nil:
		return forge.None, c.fail(ctx, err, "read what %s may do", login)
	}
	switch level.GetPermission() { // of a custom role it is what the role builds on
	case "admin", "maintain", "write":
		return forge.Write, nil
	}
	return forge.None, nil
}
