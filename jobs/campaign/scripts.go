package campaign

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

//go:embed common.lua
var commonLua string

//go:embed create.lua
var createLua string

//go:embed change.lua
var changeLua string

//go:embed append.lua
var appendLua string

//go:embed advance.lua
var advanceLua string

// The scripts, each the common part and its own.
var (
	scriptCreate  = redis.NewScript(commonLua + createLua)
	scriptChange  = redis.NewScript(commonLua + changeLua)
	scriptAppend  = redis.NewScript(commonLua + appendLua)
	scriptAdvance = redis.NewScript(commonLua + advanceLua)
)
