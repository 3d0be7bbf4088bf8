package events

// Every key of the package is made here:
//
//	{flowroute}:events            stream: the ledger's, see there; only read here
//	{flowroute}:webhook:position  string, no TTL: the last change that the webhook has
//	{flowroute}:webhook:sender    string, TTL: the lease of the process that posts

func keyStream(prefix string) string   { return prefix + "events" }
func keyPosition(prefix string) string { return prefix + "webhook:position" }
func keySender(prefix string) string   { return prefix + "webhook:sender" }
