package reconcile

import "strconv"

// Every key of the package is made here.
//
//	{flowroute}:reconcile:<since>-<until>  string, TTL retention: the last report on a window (unix seconds)
//	{flowroute}:reconcile                  zset, no TTL, bounded: the windows, by when the report was made

func (r *Reconciler) indexKey() string { return r.o.Prefix + "reconcile" }

func (r *Reconciler) reportKey(member string) string { return r.o.Prefix + "reconcile:" + member }

func member(w Window) string {
	return strconv.FormatInt(w.Since.Unix(), 10) + "-" + strconv.FormatInt(w.Until.Unix(), 10)
}
