package worker_test

import (
	"os"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m, 9)) }
