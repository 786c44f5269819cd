/* What liburing's compat.h stands in for, from the kernel's own headers: see ../config.toml. */
#ifndef __ASSEMBLER__ /* OpenSSL's assembly is compiled with the same flags */
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/time_types.h>
#endif
