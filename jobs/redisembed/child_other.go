//go:build !unix

package redisembed

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
