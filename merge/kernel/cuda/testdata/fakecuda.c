// A libcuda.so.1 for tests: memory is the host's, nothing on a stream happens before somebody waits for it, and kernels
// are run by the test, through a callback. It is stricter than a driver: every address, size, handle and argument is
// checked, and what is wrong is kept for the test to read. Calls are made to fail by fake_fail, or by the environment:
// FAKE_CUDA_FAIL="call:n:code" from the n-th call on, FAKE_CUDA_GPUS=2.
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t u64;
typedef uint32_t u32;
#define API __attribute__((visibility("default")))

enum { OK = 0, INVALID = 1, MEMORY = 2, UNINITIALIZED = 3, NO_DEVICE = 100, BAD_DEVICE = 101, BAD_CONTEXT = 201, BAD_PTX = 218,
       BAD_HANDLE = 400, NOT_FOUND = 500, BAD_ADDRESS = 700 };
static const u64 tag = (u64)1 << 60; // of addresses on the GPU: the host cannot read them by mistake

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char faults[4096];
static void fault(const char *format, ...) {
  size_t n = strlen(faults);
  va_list args;
  va_start(args, format);
  if (n + 200 < sizeof faults) { vsnprintf(faults + n, 199, format, args); strcat(faults, "\n"); }
  va_end(args);
}

// Calls, counted and failed.
static struct call { char name[48]; int n, from, count, code; } calls[64];
static struct call *call(const char *name) {
  for (int i = 0; i < 64; i++) {
    if (!calls[i].name[0]) strncpy(calls[i].name, name, 47);
    if (!strcmp(calls[i].name, name)) return &calls[i];
  }
  abort();
}
API void fake_fail(const char *name, int from, int count, int code) {
  pthread_mutex_lock(&lock);
  struct call *c = call(name);
  c->from = c->n + from, c->count = count, c->code = code;
  pthread_mutex_unlock(&lock);
}
API int fake_calls(const char *name) { pthread_mutex_lock(&lock); int n = call(name)->n; pthread_mutex_unlock(&lock); return n; }
static int gpus = 1, ready;
static __thread u64 current; // context of this thread
static int begin(const char *name, int context) {
  pthread_mutex_lock(&lock);
  struct call *c = call(name);
  c->n++;
  int code = c->from && c->n >= c->from && c->n < c->from + c->count ? c->code : OK;
  if (!code && !ready && strcmp(name, "cuInit")) code = UNINITIALIZED;
  if (!code && context && !current) { code = BAD_CONTEXT; fault("%s: no context is current on this thread", name); }
  pthread_mutex_unlock(&lock);
  return code;
}
#define BEGIN(context) do { int code = begin(__func__, context); if (code) return code; } while (0)

// Memory.
static struct block { char *at; u64 size, context; int host; } memory[4096];
static u64 total = (u64)1 << 30, used;
static u64 contexts, modules, streams;
API void fake_memory(u64 bytes) { total = bytes; }
API void fake_gpus(int n) { gpus = n; }
static struct block *within(char *p, u64 n, int host) {
  for (int i = 0; i < 4096; i++) {
    struct block *b = &memory[i];
    if (b->at && b->host == host && p >= b->at && p + n <= b->at + b->size) return b;
  }
  return 0;
}
// fake_at is the host's pointer to n bytes of the GPU's memory, NULL and a fault where they are not all one allocation's.
API void *fake_at(u64 address, u64 n) {
  pthread_mutex_lock(&lock);
  char *p = (char *)(address ^ tag);
  int ok = (address & tag) && within(p, n, 0);
  if (!ok) fault("%llu bytes at %llx are outside the GPU's memory", (unsigned long long)n, (unsigned long long)address);
  pthread_mutex_unlock(&lock);
  return ok ? p : 0;
}
// fake_base is the host's pointer to the allocation that holds an address, and its size.
API char *fake_base(u64 address, u64 *size) {
  pthread_mutex_lock(&lock);
  struct block *b = within((char *)(address ^ tag), 1, 0);
  char *p = b ? b->at : 0;
  if (b) *size = b->size;
  pthread_mutex_unlock(&lock);
  return p;
}
API u64 fake_held(void) { return used; }
API const char *fake_faults(void) { return faults; }
// fake_leaks says what was not given back.
API const char *fake_leaks(void) {
  static char s[200];
  int n = 0;
  for (int i = 0; i < 4096; i++) n += memory[i].at != 0;
  s[0] = 0;
  if (n || contexts || modules || streams)
    snprintf(s, sizeof s, "%d allocations, %d contexts, %d modules, %d streams", n, (int)contexts, (int)modules, (int)streams);
  return s;
}
static void *keep(u64 n, int host) {
  char *p = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
  memset(p, 0xA5, n);
  pthread_mutex_lock(&lock);
  for (int i = 0; i < 4096; i++)
    if (!memory[i].at) { memory[i] = (struct block){p, n, current, host}; break; }
  if (!host) used += n;
  pthread_mutex_unlock(&lock);
  return p;
}
static int give(char *p, int host) {
  pthread_mutex_lock(&lock);
  int code = INVALID;
  for (int i = 0; i < 4096; i++)
    if (memory[i].at == p && p && memory[i].host == host) {
      if (!host) used -= memory[i].size;
      memset(p, 0x5A, memory[i].size);
      memory[i].at = 0, code = OK;
      break;
    }
  if (code) fault("memory is given back that was not allocated");
  pthread_mutex_unlock(&lock);
  if (!code) free(p);
  return code;
}

// Streams: queues.
struct work { int kind; char *to, *from; u64 size; const char *kernel; int n; u32 grid, threads; u64 args[16]; struct work *next; };
struct stream { u64 magic, context; struct work *first, **last; int failed; };
static const u64 magic = 0x5354524541;
static int (*launcher)(const char *, const u64 *, int, u32, u32);
API void fake_launcher(int (*f)(const char *, const u64 *, int, u32, u32)) { launcher = f; }
static struct stream *stream_of(void *s, const char *what) {
  struct stream *p = s;
  if (p && p->magic == magic && p->context == current) return p;
  pthread_mutex_lock(&lock);
  fault("%s: not a stream of the current context", what);
  pthread_mutex_unlock(&lock);
  return 0;
}
static void queue(struct stream *s, struct work w) {
  struct work *p = malloc(sizeof *p);
  *p = w, p->next = 0;
  *s->last = p, s->last = &p->next;
}

API int cuInit(u32 flags) {
  const char *e = getenv("FAKE_CUDA_GPUS"), *f = getenv("FAKE_CUDA_FAIL");
  if (e) gpus = atoi(e);
  char name[48]; int n, code;
  if (f && sscanf(f, "%47[^:]:%d:%d", name, &n, &code) == 3) fake_fail(name, n, 1 << 30, code);
  BEGIN(0);
  ready = 1;
  return flags ? INVALID : OK;
}
API int cuDriverGetVersion(int *v) { BEGIN(0); *v = 12040; return OK; }
API int cuGetErrorName(int code, const char **s) {
  *s = code == MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == BAD_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : code == 214 ? "CUDA_ERROR_ECC_UNCORRECTABLE" : "CUDA_ERROR_FAKE";
  return OK;
}
API int cuGetErrorString(int code, const char **s) {
  if (code == 12345) { *s = 0; return INVALID; }
  *s = code == MEMORY ? "out of memory" : code == BAD_ADDRESS ? "an illegal memory access was encountered" : "made to fail";
  return OK;
}
API int cuDeviceGetCount(int *n) { BEGIN(0); *n = gpus; return OK; }
API int cuDeviceGet(int *d, int i) { BEGIN(0); if (i < 0 || i >= gpus) return BAD_DEVICE; *d = i + 7; return OK; }
API int cuDeviceGetName(char *s, int n, int d) { BEGIN(0); snprintf(s, n, "Fake %d", d - 7); return OK; }
API int cuDeviceGetAttribute(int *v, int a, int d) { BEGIN(0); *v = a == 16 ? 2 : a == 75 ? 9 : 0; return d >= 7 ? OK : BAD_DEVICE; }
API int cuDevicePrimaryCtxRetain(u64 *c, int d) { BEGIN(0); *c = 0xC0 + d; contexts++; return OK; }
API int cuDevicePrimaryCtxRelease_v2(int d) { BEGIN(0); contexts--; return OK; }
API int cuCtxSetCurrent(u64 c) { BEGIN(0); current = c; return OK; }

API int cuModuleLoadDataEx(char **m, const char *ptx, u32 n, int *keys, void **values) {
  BEGIN(1);
  if (n != 2 || keys[0] != 5 || keys[1] != 6) { fault("cuModuleLoadDataEx: options"); return INVALID; }
  int major, minor;
  const char *v = strstr(ptx, ".version ");
  if (!v || sscanf(v, ".version %d.%d", &major, &minor) != 2 || !strstr(ptx, ".target sm_")) {
    snprintf(values[0], (size_t)values[1], "ptxas fatal : no version");
    return BAD_PTX;
  }
  *m = strdup(ptx), modules++;
  return OK;
}
API int cuModuleUnload(char *m) { BEGIN(1); free(m), modules--; return OK; }
struct function { char name[64]; int n, size[16]; };
API int cuModuleGetFunction(struct function **f, const char *m, const char *name) {
  BEGIN(1);
  char want[80];
  snprintf(want, sizeof want, ".entry %s(", name);
  const char *p = strstr(m, want);
  if (!p) return NOT_FOUND;
  *f = calloc(1, sizeof **f); // small, and as long-lived as the process
  strncpy((*f)->name, name, 63);
  for (const char *end = strchr(p, ')'); (p = strstr(p, ".param .")) && p < end; (*f)->n++)
    p += 8, (*f)->size[(*f)->n] = strchr("usbf", *p) && atoi(p + 1) == 64 ? 8 : 4;
  return OK;
}

API int cuMemGetInfo_v2(u64 *f, u64 *t) { BEGIN(1); *f = total - used, *t = total; return OK; }
API int cuMemAlloc_v2(u64 *p, u64 n) {
  BEGIN(1);
  if (!n) return INVALID;
  if (used + n > total) return MEMORY;
  *p = (u64)keep(n, 0) | tag;
  return OK;
}
API int cuMemFree_v2(u64 p) { BEGIN(1); return give((char *)(p ^ tag), 0); }
API int cuMemHostAlloc(void **p, u64 n, u32 flags) { BEGIN(1); *p = keep(n, 1); return OK; }
API int cuMemFreeHost(void *p) { BEGIN(1); return give(p, 1); }

static int move(const char *what, char *gpu, u64 address, char *host, u64 n, int up, void *stream) {
  struct stream *s = stream_of(stream, what);
  if (!s) return BAD_HANDLE;
  if (!n) { fault("%s: of nothing", what); return INVALID; }
  pthread_mutex_lock(&lock);
  struct block *b = within(gpu, n, 0);
  int ok = (address & tag) && b && b->context == current && within(host, n, 1);
  if (!ok) fault("%s: %llu bytes are not all pinned here and this GPU's there", what, (unsigned long long)n);
  pthread_mutex_unlock(&lock);
  if (!ok) return INVALID;
  queue(s, (struct work){.kind = 0, .to = up ? gpu : host, .from = up ? host : gpu, .size = n});
  return OK;
}
API int cuMemcpyHtoDAsync_v2(u64 to, char *from, u64 n, void *s) { BEGIN(1); return move(__func__, (char *)(to ^ tag), to, from, n, 1, s); }
API int cuMemcpyDtoHAsync_v2(char *to, u64 from, u64 n, void *s) { BEGIN(1); return move(__func__, (char *)(from ^ tag), from, to, n, 0, s); }
API int cuMemcpyDtoDAsync_v2(u64 to, u64 from, u64 n, void *stream) {
  BEGIN(1);
  struct stream *s = stream_of(stream, __func__);
  char *p = fake_at(to, n), *q = fake_at(from, n);
  if (!s || !p || !q) return INVALID;
  queue(s, (struct work){.kind = 0, .to = p, .from = q, .size = n});
  return OK;
}
API int cuMemsetD8Async(u64 to, unsigned char v, u64 n, void *stream) {
  BEGIN(1);
  struct stream *s = stream_of(stream, __func__);
  char *p = fake_at(to, n);
  if (!s || !p) return INVALID;
  queue(s, (struct work){.kind = 1, .to = p, .n = v, .size = n});
  return OK;
}

API int cuStreamCreate(struct stream **s, u32 flags) {
  BEGIN(1);
  *s = calloc(1, sizeof **s);
  **s = (struct stream){.magic = magic, .context = current};
  (*s)->last = &(*s)->first;
  __sync_fetch_and_add(&streams, 1);
  return OK;
}
API int cuStreamDestroy_v2(struct stream *s) {
  BEGIN(1);
  if (!stream_of(s, __func__)) return BAD_HANDLE;
  if (s->first) fault("a stream is destroyed with work on it");
  s->magic = 0;
  __sync_fetch_and_sub(&streams, 1);
  return OK;
}
API int cuStreamSynchronize(struct stream *s) {
  int code = begin(__func__, 1);
  if (!stream_of(s, __func__)) return code ? code : BAD_HANDLE;
  if (code) s->failed = code; // as a kernel that fails: what was queued does not happen, now or later
  while (s->first) {
    struct work *w = s->first;
    s->first = w->next;
    if (!s->failed) {
      if (w->kind == 0) memcpy(w->to, w->from, w->size);
      if (w->kind == 1) memset(w->to, w->n, w->size);
      if (w->kind == 2 && launcher) s->failed = launcher(w->kernel, w->args, w->n, w->grid, w->threads);
    }
    free(w);
  }
  s->last = &s->first;
  return s->failed;
}
API int cuLaunchKernel(struct function *f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, void *stream, void **args, void **extra) {
  BEGIN(1);
  struct stream *s = stream_of(stream, __func__);
  if (!s || !f) return BAD_HANDLE;
  if (!gx || gy != 1 || gz != 1 || bx < 1 || bx > 1024 || by != 1 || bz != 1 || shared > 49152 || extra) { fault("cuLaunchKernel %s: grid %u %u %u block %u %u %u", f->name, gx, gy, gz, bx, by, bz); return INVALID; }
  struct work w = {.kind = 2, .kernel = f->name, .n = f->n, .grid = gx, .threads = bx};
  for (int i = 0; i < f->n; i++) memcpy(&w.args[i], args[i], f->size[i]); // as the PTX says, not as the caller
  queue(s, w);
  return OK;
}
