# modal_batch: builds the extension with PGXS.
#
#   make PG_CONFIG=/path/to/pg_config install
#   make DEBUG_POINTS=1 ...    with the stop and fault points that tests use
#   make SANITIZE=1 ...        with AddressSanitizer and UndefinedBehaviorSanitizer
#   make dist                  the archive for PGXN
#   make local                 the local server of Modal's API (local/modal-local)
#
# `./check` builds and runs every test; see CONTRIBUTING.md.

MODULE_big = modal_batch
EXTENSION = modal_batch
DATA = $(sort $(wildcard modal_batch--*.sql))
PGFILEDESC = "modal_batch - remote functions called from SQL, at the scale of tables"

PROTO_SRCS = $(wildcard src/proto/*.proto)
PROTO_HDRS = $(PROTO_SRCS:.proto=.pb-c.h)
SRCS = $(sort $(filter-out %.pb-c.c,$(wildcard src/*.c src/*/*.c)))
OBJS = $(SRCS:.c=.o) $(PROTO_SRCS:.proto=.pb-c.o)

# `make installcheck` wants a running cluster and modal-local, as they are made
# by tools/dev-cluster, and its environment (tools/dev-cluster env).
REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=.

PG_CONFIG ?= pg_config
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" modal_batch.control)
PG_CPPFLAGS = -DMODAL_BATCH_VERSION='"$(EXTVERSION)"' -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -Wextra -MMD -MP $(CLANG_CFLAGS) $(WERROR)
# The server's own flags are those of its compiler, which is gcc.  Its macros
# cast between kinds of function pointers, as the generated code does.
CLANG_CFLAGS = $(if $(findstring clang,$(CC)),-Wno-ignored-optimization-argument \
	-Wno-unknown-warning-option -Wno-cast-function-type-strict)
SHLIB_LINK = -lcurl -lnghttp2 -lssl -lcrypto -lprotobuf-c -lcbor -ljson-c -lz -lpthread

# Only the entry points leave the library: the server loads modules into one
# global name space, and names such as buf_* would meet others there.
SHLIB_LINK += -Wl,--version-script=src/modal_batch.map

# For a server that loads the sanitizers' run time: see tools/assert-pg.
ifdef SANITIZE
PG_CFLAGS += -fsanitize=address,undefined -fno-omit-frame-pointer
SHLIB_LINK += -fsanitize=address,undefined
endif

ifdef DEBUG_POINTS
PG_CPPFLAGS += -DMODAL_DEBUG_POINTS
endif

# Our functions wait for a network; inlining them into JIT-compiled
# expressions would gain nothing, so no bitcode is made.
override with_llvm := no

EXTRA_CLEAN = $(PROTO_HDRS:.h=.[ch]) $(addsuffix /*.d,src src/*) build/config

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Objects live beside their sources, so they must not survive a change of
# server version, compiler or flags: all of that is written to a file on which
# every object depends, and the file changes only when its content does.
# Goals that make no objects here may be made with another server's pg_config.
BUILD_CONFIG = build/config
BUILD_CONFIG_TEXT := $(VERSION) $(shell $(PG_CONFIG) --includedir-server) $(CC) $(CPPFLAGS) $(CFLAGS)
ifneq ($(filter-out clean distclean local proto dist,$(or $(MAKECMDGOALS),all)),)
ifneq ($(file <$(BUILD_CONFIG)),$(BUILD_CONFIG_TEXT))
$(shell mkdir -p $(dir $(BUILD_CONFIG)))
$(file >$(BUILD_CONFIG),$(BUILD_CONFIG_TEXT))
endif
-include $(OBJS:.o=.d)
endif

$(OBJS): $(BUILD_CONFIG)
# Sources include the generated header; until the compiler's own dependency
# files exist, nothing else would say that it comes first.
$(OBJS): | $(PROTO_HDRS)
$(shlib): src/modal_batch.map

%.pb-c.c %.pb-c.h &: %.proto
	protoc-c --proto_path=$(<D) --c_out=$(@D) $(<F)

# The archive for PGXN.
DIST = modal_batch-$(shell sed -n 's/^   "version": "\(.*\)",/\1/p' META.json)
dist:
	rm -rf build/dist $(DIST).zip
	mkdir -p build/dist
	rsync -a --filter=':- .gitignore' --exclude=/.git ./ build/dist/$(DIST)/
	cd build/dist && zip -q -r $(CURDIR)/$(DIST).zip $(DIST)

.PHONY: local proto dist install-local uninstall-local clean-local
proto: $(PROTO_HDRS)
local:
	$(MAKE) -C local
clean-local:
	$(MAKE) -C local clean

with_local = yes
MODAL_LOCAL_BINDIR = $(bindir)

ifeq ($(with_local),yes)
all: local
install: install-local
uninstall: uninstall-local
endif
clean: clean-local

install-local: local
	$(MKDIR_P) '$(DESTDIR)$(MODAL_LOCAL_BINDIR)'
	$(INSTALL_PROGRAM) local/modal-local '$(DESTDIR)$(MODAL_LOCAL_BINDIR)/modal-local'
uninstall-local:
	rm -f '$(DESTDIR)$(MODAL_LOCAL_BINDIR)/modal-local'

# Static analysis, for `./check --static`: clang-tidy, which includes clang's
# analyser, and cppcheck.  Generated code is not ours to judge, nor is what
# includes it as data.
ANALYZED = $(SRCS)
ANALYZED_LOCAL = $(sort $(wildcard local/*.c local/*/*.c))
ANALYZED_TESTS = $(filter-out test/unit/transcode_pb.c, \
	$(sort $(wildcard test/unit/*.c test/fuzz/*.c test/preload/*.c bench/*.c)))
# cppcheck does not read the server's headers; tools/cppcheck.h has what it
# must know of them, tools/cppcheck.suppressions what is no finding.
CPPCHECK_FLAGS = --quiet --error-exitcode=1 --std=c11 -j2 \
	--enable=warning,performance,portability \
	--suppressions-list=tools/cppcheck.suppressions \
	--library=posix --include=tools/cppcheck.h -Isrc -DMODAL_DEBUG_POINTS \
	-DPG_VERSION_NUM=150000 -DLIBCURL_VERSION_NUM=0x075800 \
	-DPROTOBUF_C_VERSION_NUMBER=1004000 -DPROTOBUF_C_MIN_COMPILER_VERSION=1000000

# One file at a time: the analyser of clang 14 mistakes va_lists when it is
# given several.
define clang_tidy # FILES, FLAGS
	printf '%s\n' $(1) | xargs -P 2 -I FILE clang-tidy --quiet FILE -- $(2) -std=gnu11
endef

.PHONY: clang-tidy cppcheck
clang-tidy: proto
	$(call clang_tidy,$(ANALYZED),$(CPPFLAGS) -DMODAL_DEBUG_POINTS -DUSE_ASSERT_CHECKING)
	$(call clang_tidy,$(ANALYZED_LOCAL) $(ANALYZED_TESTS),-D_GNU_SOURCE -Ilocal -Isrc)
cppcheck: proto
	cppcheck $(CPPCHECK_FLAGS) $(ANALYZED)
	cppcheck -Ilocal $(CPPCHECK_FLAGS) $(ANALYZED_LOCAL)
