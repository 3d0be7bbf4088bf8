// Package torture is the proof of the product's promise: no message is lost, none
// is sent twice, no purchase buys two numbers.
//
//	report, err := torture.Run(ctx, torture.Options{Seed: 1, Child: child})
//	report.Print(os.Stdout)
//
// It starts a real Redis, a simulated Flowroute and several workers, each a process
// of its own and each worker behind proxies of its own, asks for a mixed load of
// jobs as a producer would, and meanwhile kills, stops, cuts off, delays and rolls
// back whatever it can. Then it heals everything, waits until nothing moves any
// more, and compares what the account really took with what was asked for and with
// what the ledger says of each job.
//
// What is done, to whom and when is drawn from the seed before the start
// ([NewPlan]); only what the processes then make of it differs from run to run. All
// times and limits are those of the product, shortened by Options.Scale with their
// order kept.
//
// The children are the same program again: it must call [Child] when it is started
// with the arguments in Options.Child.
package torture
