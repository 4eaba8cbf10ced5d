package hub

import (
	"context"
	"time"
)

// Hurry lets a client wait no time between tries, and put few files into one call.
func Hurry(c *Client, batch int) {
	c.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	c.batchSize = batch
}

// Impatient lets a client bear less silence.
func Impatient(c *Client, silence time.Duration) { c.silence = silence }

// Divide lets a client fetch smaller ranges.
func Divide(c *Client, piece int64) { c.minPiece = piece }
