package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mergebot/bot/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "all of it, offline, on a tiny family of trained models",
		Long: `demo fills an embedded hub with a tiny trained LLaMA base and three experts (mathematics, finance,
law), and lets the bot watch a local repository of recipes. Each recipe comes on a branch, is planned
by the bot and merged; the bot merges the models by DARE and by DPPA, scores them and publishes them to
the embedded hub. In the end it prints the paper's tables. It needs the engine (mergebot engine install)
and no network. In the same folder a second demo finds everything done.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := newWatcher(a.err, a.quiet || a.json)
			env, done, err := a.environment(cmd, w)
			if err != nil {
				return err
			}
			defer done()
			o.Env, o.Stdout = env, a.out
			o.Log = func(format string, v ...any) { w.note(fmt.Sprintf(format, v...)) }
			o.Done = w.close
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Out, "out", "o", "mergebot-demo", "folder for everything")
	cmd.Flags().BoolVar(&o.Serve, "serve", false, "keep the bot and its page up after the tables, until ^C")
	cmd.Flags().BoolVar(&o.Full, "full", false, "score every row, at densities 0.2 and 0.1")
	return cmd
}
