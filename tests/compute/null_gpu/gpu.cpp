// A CUDA runtime, driver, cuBLAS and cuDNN without a GPU, for a CUDA build of PyTorch.
//
// Memory is host memory, copies copy, kernels are counted by name and compute nothing. Capture
// follows the rules of CUDA's global mode: what a real capture refuses is refused here.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>
#define X extern "C" __attribute__((visibility("default")))

namespace {
std::recursive_mutex lock_;
using Guard = std::lock_guard<std::recursive_mutex>;
typedef void (*Hook)(const char* what);
Hook hook_ = nullptr;
std::map<std::string, long> counts_;    // API calls that matter, by name
std::map<std::string, long> kernels_;   // kernels launched (not in capture), by name
std::map<std::string, long> replayed_;  // kernels launched by graphs
long copied_[4] = {0, 0, 0, 0};         // bytes H2H, H2D, D2H, D2D
thread_local cudaError_t last_ = cudaSuccess;
thread_local int device_ = 0;
thread_local cudaStreamCaptureMode mode_ = cudaStreamCaptureModeGlobal;

int devices() {
  static int n = getenv("AUTOSPACE_NULL_GPU_DEVICES") ? atoi(getenv("AUTOSPACE_NULL_GPU_DEVICES")) : 1;
  return n;
}
size_t memory_ = (size_t)(getenv("AUTOSPACE_NULL_GPU_MB") ? atol(getenv("AUTOSPACE_NULL_GPU_MB")) : 80000) << 20;
size_t memory() { return memory_; }
std::string refused_;  // a kernel (part of its name) that cannot be captured

struct Graph {
  std::map<std::string, long> nodes;
  long count = 0;
};
struct Capture {
  unsigned long long id;
  Graph graph;
  bool broken = false;
  cudaStream_t origin;
  std::set<void*> open;
  cudaStreamCaptureMode mode;
  std::set<void*> used = {};
};
struct Stream {
  Capture* capture = nullptr;
  int device = 0;
  unsigned flags = 0;
};
struct Event {
  Capture* capture = nullptr;
  Stream* stream = nullptr;
  double at = 0;
  bool recorded = false;
  int device = 0;
};
Stream legacy_[16];
std::set<Capture*> captures_;
unsigned long long next_id_ = 1;
struct Block {
  size_t size;
  int device;
  bool host;
};
std::map<char*, Block> blocks_;
size_t used_[16];

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}
Stream* of(cudaStream_t s) {
  if (s == nullptr || s == (cudaStream_t)1 || s == (cudaStream_t)2) return &legacy_[device_];
  Stream* st = (Stream*)s;
  if (st->capture && !captures_.count(st->capture))
    st->capture = nullptr;  // it joined, and the capture has ended
  return st;
}
cudaError_t fail(cudaError_t e) {
  last_ = e;
  return e;
}
void tell(const std::string& what) {
  counts_[what]++;
  if (hook_) hook_(what.c_str());
}
// Calls that are prohibited while a capture in global mode is under way in any thread.
bool prohibited(const char* what) {
  if (mode_ == cudaStreamCaptureModeRelaxed) return false;
  for (Capture* c : captures_)
    if (c->mode == cudaStreamCaptureModeGlobal) {
      c->broken = true;
      tell(std::string("REFUSED in capture: ") + what);
      return true;
    }
  return false;
}
const Block* find(const void* p) {
  auto it = blocks_.upper_bound((char*)p);
  if (it == blocks_.begin()) return nullptr;
  --it;
  return (char*)p < it->first + it->second.size ? &it->second : nullptr;
}
std::string pretty(const char* name) { return name ? name : "?"; }
void launched(cudaStream_t s, const std::string& name) {
  Stream* st = of(s);
  if (st->capture) {
    if (!refused_.empty() && name.find(refused_) != std::string::npos) {
      st->capture->broken = true;
      tell("REFUSED as asked: " + name);
    }
    st->capture->graph.nodes[name]++;
    st->capture->graph.count++;
    st->capture->open.insert(st);
    st->capture->used.insert(st);
  } else {
    kernels_[name]++;
    if (!captures_.empty()) tell("OUTSIDE the capture under way: " + name);
  }
}
std::unordered_map<const void*, std::string> names_;
}  // namespace

// ---- what a test asks
X void null_gpu_reset() {
  Guard g(lock_);
  counts_.clear();
  kernels_.clear();
  replayed_.clear();
  memset(copied_, 0, sizeof copied_);
}
X void null_gpu_memory(long mb) { memory_ = (size_t)mb << 20; }
X void null_gpu_refuse(const char* kernel) {
  Guard g(lock_);
  refused_ = kernel;
}
X void null_gpu_hook(Hook h) { hook_ = h; }
X void null_gpu_report(const char* path) {
  Guard g(lock_);
  FILE* f = fopen(path, "w");
  for (auto& [k, v] : counts_) fprintf(f, "C\t%ld\t%s\n", v, k.c_str());
  for (auto& [k, v] : kernels_) fprintf(f, "K\t%ld\t%s\n", v, k.c_str());
  for (auto& [k, v] : replayed_) fprintf(f, "R\t%ld\t%s\n", v, k.c_str());
  for (int i = 0; i < 4; i++) fprintf(f, "B\t%ld\t%d\n", copied_[i], i);
  for (int i = 0; i < devices(); i++) fprintf(f, "M\t%zu\t%d\n", used_[i], i);
  fclose(f);
}

// ---- kernels
X void** __cudaRegisterFatBinary(void* p) { return (void**)calloc(1, 64); }
X void __cudaRegisterFatBinaryEnd(void**) {}
X void __cudaUnregisterFatBinary(void**) {}
X char __cudaInitModule(void**) { return 1; }
X void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
X void __cudaRegisterManagedVar(void**, void**, char*, const char*, int, size_t, int, int) {}
X void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, void*, void*,
                              void*, void*, int*) {
  Guard g(lock_);
  names_[host] = pretty(name);
}
struct Config {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Config> configs_;
X unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configs_.push_back({grid, block, shared, stream});
  return 0;
}
X cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  Config c = configs_.back();
  configs_.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *(cudaStream_t*)stream = c.stream;
  return cudaSuccess;
}
static cudaError_t launch(const void* f, dim3 grid, dim3 block, cudaStream_t s) {
  Guard g(lock_);
  if (block.x * block.y * block.z > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      block.x == 0)
    return fail(cudaErrorInvalidConfiguration);
  auto it = names_.find(f);
  launched(s, it == names_.end() ? "?" : it->second);
  return cudaSuccess;
}
X cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* f) {
  *k = (cudaKernel_t)f;
  return cudaSuccess;
}
X cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 grid, dim3 block, void**, size_t,
                                 cudaStream_t s) {
  return launch((void*)k, grid, block, s);
}
X cudaError_t cudaLaunchKernel(const void* f, dim3 grid, dim3 block, void**, size_t,
                               cudaStream_t s) {
  return launch(f, grid, block, s);
}
X cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* f, void**) {
  return launch(f, c->gridDim, c->blockDim, c->stream);
}
X cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t fn, void* d) {
  Guard g(lock_);
  tell("cudaLaunchHostFunc");
  if (!of(s)->capture) fn(d);
  return cudaSuccess;
}
X cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024;
  a->numRegs = 32;
  a->binaryVersion = 90;
  a->ptxVersion = 90;
  return cudaSuccess;
}
X cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
X cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t, cudaFuncAttribute, int, int) {
  return cudaSuccess;
}
X cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void*, int, size_t) {
  *n = 4;
  return cudaSuccess;
}
X cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int,
                                                                     size_t, unsigned) {
  *n = 4;
  return cudaSuccess;
}
X cudaError_t cudaLibraryLoadData(cudaLibrary_t* l, const void*, cudaJitOption*, void**, unsigned,
                                  cudaLibraryOption*, void**, unsigned) {
  *l = (cudaLibrary_t)1;
  return cudaSuccess;
}
X cudaError_t cudaLibraryUnload(cudaLibrary_t) { return cudaSuccess; }
X cudaError_t cudaLibraryGetKernel(cudaKernel_t* k, cudaLibrary_t, const char*) {
  *k = (cudaKernel_t)1;
  return cudaSuccess;
}

// ---- devices
X cudaError_t cudaGetDeviceCount(int* n) {
  *n = devices();
  return cudaSuccess;
}
X cudaError_t cudaGetDevice(int* d) {
  *d = device_;
  return cudaSuccess;
}
X cudaError_t cudaSetDevice(int d) {
  if (d < 0 || d >= devices()) return fail(cudaErrorInvalidDevice);
  device_ = d;
  return cudaSuccess;
}
X cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int d) {
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "No GPU at all (%d)", d);
  p->totalGlobalMem = memory();
  p->sharedMemPerBlock = 49152;
  p->regsPerBlock = 65536;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->major = 9;
  p->minor = 0;
  p->multiProcessorCount = 132;
  p->maxThreadsPerMultiProcessor = 2048;
  p->sharedMemPerMultiprocessor = 233472;
  p->regsPerMultiprocessor = 65536;
  p->sharedMemPerBlockOptin = 232448;
  p->l2CacheSize = 50 << 20;
  p->concurrentKernels = 1;
  p->asyncEngineCount = 3;
  p->unifiedAddressing = 1;
  p->totalConstMem = 65536;
  p->memoryBusWidth = 5120;
  p->cooperativeLaunch = 1;
  p->maxBlocksPerMultiProcessor = 32;
  p->textureAlignment = 512;
  p->memPitch = 2147483647;
  p->pciBusID = d + 1;
  return cudaSuccess;
}
X cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int d) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, d);
  switch (a) {
    case cudaDevAttrComputeCapabilityMajor:
      *v = 9;
      break;
    case cudaDevAttrMultiProcessorCount:
      *v = 132;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *v = 1024;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *v = 232448;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *v = 49152;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *v = 2048;
      break;
    case cudaDevAttrWarpSize:
      *v = 32;
      break;
    default:
      *v = 0;
  }
  return cudaSuccess;
}
X cudaError_t cudaDeviceGetPCIBusId(char* s, int n, int d) {
  snprintf(s, n, "0000:%02x:00.0", d + 1);
  return cudaSuccess;
}
X cudaError_t cudaDeviceGetStreamPriorityRange(int* low, int* high) {
  if (low) *low = 0;
  if (high) *high = -5;
  return cudaSuccess;
}
X cudaError_t cudaDeviceCanAccessPeer(int* v, int, int) {
  *v = 1;
  return cudaSuccess;
}
X cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
X cudaError_t cudaDriverGetVersion(int* v) {
  *v = 13000;
  return cudaSuccess;
}
X cudaError_t cudaRuntimeGetVersion(int* v) {
  *v = 13000;
  return cudaSuccess;
}
X cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  Guard g(lock_);
  *total = memory();
  *free = memory() - used_[device_];
  return cudaSuccess;
}
X cudaError_t cudaGetLastError() {
  cudaError_t e = last_;
  last_ = cudaSuccess;
  return e;
}
X cudaError_t cudaPeekAtLastError() { return last_; }
X const char* cudaGetErrorName(cudaError_t e) {
  return e == 900   ? "cudaErrorStreamCaptureUnsupported"
         : e == 901 ? "cudaErrorStreamCaptureInvalidated"
         : e == 2   ? "cudaErrorMemoryAllocation"
                    : "cudaError";
}
X const char* cudaGetErrorString(cudaError_t e) {
  switch ((int)e) {
    case 0:
      return "no error";
    case 2:
      return "out of memory";
    case 900:
      return "operation not permitted when stream is capturing";
    case 901:
      return "operation failed due to a previous error during capture";
    case 904:
      return "capturing stream has unjoined work";
    case 101:
      return "invalid device ordinal";
    case 9:
      return "invalid configuration argument";
    case 905:
      return "dependency created on uncaptured work in another stream";
    default:
      return "an error of the null GPU";
  }
}

// ---- memory
static cudaError_t take(void** p, size_t n, bool host) {
  Guard g(lock_);
  size_t size = (std::max<size_t>(n, 1) + 4095) & ~(size_t)4095;
  if (!host && used_[device_] + size > memory()) return fail(cudaErrorMemoryAllocation);
  void* m = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
  if (m == MAP_FAILED) return fail(cudaErrorMemoryAllocation);
  blocks_[(char*)m] = {size, device_, host};
  if (!host) used_[device_] += size;
  *p = m;
  return cudaSuccess;
}
static cudaError_t give(void* p) {
  Guard g(lock_);
  auto it = blocks_.find((char*)p);
  if (it == blocks_.end()) return cudaSuccess;
  if (!it->second.host) used_[it->second.device] -= it->second.size;
  munmap(p, it->second.size);
  blocks_.erase(it);
  return cudaSuccess;
}
X cudaError_t cudaMalloc(void** p, size_t n) {
  Guard g(lock_);
  if (prohibited("cudaMalloc")) return fail(cudaErrorStreamCaptureUnsupported);
  counts_["cudaMalloc"]++;
  return take(p, n, false);
}
X cudaError_t cudaFree(void* p) {
  Guard g(lock_);
  if (p && prohibited("cudaFree")) return fail(cudaErrorStreamCaptureUnsupported);
  counts_["cudaFree"]++;
  return give(p);
}
X cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t) { return take(p, n, false); }
X cudaError_t cudaFreeAsync(void* p, cudaStream_t) { return give(p); }
X cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) {
  Guard g(lock_);
  if (prohibited("cudaHostAlloc")) return fail(cudaErrorStreamCaptureUnsupported);
  tell("cudaHostAlloc");
  return take(p, n, true);
}
X cudaError_t cudaFreeHost(void* p) { return give(p); }
X cudaError_t cudaHostRegister(void*, size_t, unsigned) { return cudaSuccess; }
X cudaError_t cudaHostUnregister(void*) { return cudaSuccess; }
X cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
  Guard g(lock_);
  memset(a, 0, sizeof *a);
  const Block* b = find(p);
  a->type = !b ? cudaMemoryTypeUnregistered : b->host ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  if (b) {
    a->device = b->device;
    a->devicePointer = (void*)p;
    if (b->host) a->hostPointer = (void*)p;
  }
  return cudaSuccess;
}
static cudaError_t copy(void* to, const void* from, size_t n, cudaStream_t s, bool async) {
  Guard g(lock_);
  const Block *a = find(to), *b = find(from);
  bool dd = a && !a->host, sd = b && !b->host;
  int kind = sd * 2 + dd;
  static const char* names[] = {"copy host to host", "copy host to device", "copy device to host",
                                "copy device to device"};
  const int where[] = {0, 1, 2, 3};
  copied_[where[kind]] += n;
  bool pageable = (!dd && !a) || (!sd && !b);
  std::string what = std::string(names[kind]) + (kind == 3  ? ""
                                                 : pageable ? ", pageable"
                                                            : ", pinned");
  if (!async) {
    if (prohibited("cudaMemcpy")) return fail(cudaErrorStreamCaptureUnsupported);
    tell("cudaMemcpy: " + what);
  }
  Stream* st = of(s);
  if (async && st->capture) {
    if (kind != 3) tell("IN CAPTURE: " + what);
    launched(s, what);
    return cudaSuccess;
  }
  if (async) {
    launched(s, what);
    if (kind != 3) tell(what);
  }
  // What kernels would have computed is not there: a number that is looked at is zero.
  // (An integer is one: torch divides by a count of batches.)
  if (kind == 2) {
    memset(to, 0, n);
    if (n == 8) *(int64_t*)to = 1;
  } else
    memmove(to, from, n);
  return cudaSuccess;
}
X cudaError_t cudaMemcpy(void* to, const void* from, size_t n, cudaMemcpyKind) {
  return copy(to, from, n, nullptr, false);
}
X cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n, cudaMemcpyKind,
                              cudaStream_t s) {
  return copy(to, from, n, s, true);
}
X cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t n, cudaStream_t s) {
  return copy(to, from, n, s, true);
}
X cudaError_t cudaMemcpy2DAsync(void*, size_t, const void*, size_t, size_t, size_t, cudaMemcpyKind,
                                cudaStream_t s) {
  Guard g(lock_);
  launched(s, "copy 2d");
  return cudaSuccess;
}
X cudaError_t cudaMemcpyToSymbol(const void*, const void*, size_t, size_t, cudaMemcpyKind) {
  return cudaSuccess;
}
X cudaError_t cudaGetSymbolAddress(void** p, const void*) {
  static char room[4096];
  *p = room;
  return cudaSuccess;
}
X cudaError_t cudaMemset(void* p, int v, size_t n) {
  Guard g(lock_);
  if (prohibited("cudaMemset")) return fail(cudaErrorStreamCaptureUnsupported);
  memset(p, v, n);
  return cudaSuccess;
}
X cudaError_t cudaMemsetAsync(void* p, int v, size_t n, cudaStream_t s) {
  Guard g(lock_);
  launched(s, "memset");
  if (!of(s)->capture) memset(p, v, n);
  return cudaSuccess;
}

// ---- streams and events
X cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned flags, int) {
  Stream* st = new Stream;
  st->device = device_;
  st->flags = flags;
  *s = (cudaStream_t)st;
  return cudaSuccess;
}
X cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned flags) {
  return cudaStreamCreateWithPriority(s, flags, 0);
}
X cudaError_t cudaStreamCreate(cudaStream_t* s) { return cudaStreamCreateWithPriority(s, 0, 0); }
X cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
X cudaError_t cudaStreamGetPriority(cudaStream_t, int* p) {
  *p = 0;
  return cudaSuccess;
}
static cudaError_t waited(const char* what) {
  Guard g(lock_);
  if (prohibited(what)) return fail(cudaErrorStreamCaptureUnsupported);
  tell(std::string("WAIT ") + what);
  return cudaSuccess;
}
X cudaError_t cudaStreamSynchronize(cudaStream_t) { return waited("cudaStreamSynchronize"); }
X cudaError_t cudaDeviceSynchronize() { return waited("cudaDeviceSynchronize"); }
X cudaError_t cudaEventSynchronize(cudaEvent_t) { return waited("cudaEventSynchronize"); }
X cudaError_t cudaStreamQuery(cudaStream_t) {
  Guard g(lock_);
  return prohibited("cudaStreamQuery") ? fail(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}
X cudaError_t cudaEventQuery(cudaEvent_t) {
  Guard g(lock_);
  return prohibited("cudaEventQuery") ? fail(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}
X cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  Event* ev = new Event;
  ev->device = device_;
  *e = (cudaEvent_t)ev;
  return cudaSuccess;
}
X cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
X cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
X cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  Guard g(lock_);
  Event* ev = (Event*)e;
  Stream* st = of(s);
  if (st != &legacy_[device_] && st->device != ev->device)
    return fail(cudaErrorInvalidResourceHandle);
  ev->capture = st->capture;
  ev->stream = st;
  ev->at = now();
  ev->recorded = true;
  if (st->capture) counts_["events recorded in capture"]++;
  return cudaSuccess;
}
X cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned) {
  return cudaEventRecord(e, s);
}
X cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  Guard g(lock_);
  Event* ev = (Event*)e;
  Stream* st = of(s);
  if (ev->capture && captures_.count(ev->capture)) {
    if (!st->capture) st->capture = ev->capture;                // forks
    if (ev->stream != st) ev->capture->open.erase(ev->stream);  // joins
    ev->capture->open.insert(st);
  } else if (st->capture && ev->recorded) {
    st->capture->broken = true;
    tell("REFUSED in capture: waiting for an event from outside");
    return fail((cudaError_t)905);
  }
  return cudaSuccess;
}
X cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t a, cudaEvent_t b) {
  *ms = 1e3 * (((Event*)b)->at - ((Event*)a)->at);
  return cudaSuccess;
}
X cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t f, void* d, unsigned) {
  f(s, cudaSuccess, d);
  return cudaSuccess;
}
X cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* m) {
  std::swap(*m, mode_);
  return cudaSuccess;
}

// ---- capture and graphs
X cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode) {
  Guard g(lock_);
  Stream* st = of(s);
  if (st == &legacy_[device_] || st->capture) return fail(cudaErrorStreamCaptureUnsupported);
  st->capture = new Capture{next_id_++, {}, false, s, {}, mode};
  captures_.insert(st->capture);
  counts_["captures begun"]++;
  return cudaSuccess;
}
X cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t, cudaGraph_t, const cudaGraphNode_t*,
                                            const cudaGraphEdgeData*, size_t,
                                            cudaStreamCaptureMode) {
  return fail(cudaErrorNotSupported);
}
X cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* out) {
  Guard g(lock_);
  Stream* st = of(s);
  Capture* c = st->capture;
  if (!c) return fail((cudaError_t)902);
  captures_.erase(c);
  st->capture = nullptr;
  c->open.erase(st);
  bool unjoined = !c->open.empty();
  *out = nullptr;
  if (c->broken) return fail(cudaErrorStreamCaptureInvalidated);
  if (unjoined) {
    tell("REFUSED: unjoined streams");
    return fail(cudaErrorStreamCaptureUnjoined);
  }
  *out = (cudaGraph_t) new Graph(c->graph);
  counts_["captures ended"]++;
  counts_["streams of captures"] += (long)c->used.size();
  return cudaSuccess;
}
X cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* v) {
  Guard g(lock_);
  Stream* st = of(s);
  *v = !st->capture || !captures_.count(st->capture) ? cudaStreamCaptureStatusNone
       : st->capture->broken                         ? cudaStreamCaptureStatusInvalidated
                                                     : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
X cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus* v,
                                       unsigned long long* id, cudaGraph_t* graph,
                                       const cudaGraphNode_t** deps,
                                       const cudaGraphEdgeData** edges, size_t* n) {
  cudaStreamIsCapturing(s, v);
  Guard g(lock_);
  if (*v != cudaStreamCaptureStatusNone) {
    if (id) *id = of(s)->capture->id;
    if (graph) *graph = (cudaGraph_t)&of(s)->capture->graph;
  }
  if (deps) *deps = nullptr;
  if (edges) *edges = nullptr;
  if (n) *n = 0;
  return cudaSuccess;
}
X cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t, cudaGraphNode_t*,
                                                  const cudaGraphEdgeData*, size_t, unsigned) {
  return cudaSuccess;
}
X cudaError_t cudaGraphGetNodes(cudaGraph_t gr, cudaGraphNode_t*, size_t* n) {
  *n = ((Graph*)gr)->count;
  return cudaSuccess;
}
X cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* x, cudaGraph_t gr,
                                            unsigned long long) {
  Guard g(lock_);
  if (prohibited("cudaGraphInstantiate")) return fail(cudaErrorStreamCaptureUnsupported);
  *x = (cudaGraphExec_t) new Graph(*(Graph*)gr);
  counts_["graphs instantiated"]++;
  counts_["graph nodes instantiated"] += ((Graph*)gr)->count;
  return cudaSuccess;
}
X cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t) {
  Guard g(lock_);
  counts_["graph launches"]++;
  for (auto& [k, v] : ((Graph*)x)->nodes) replayed_[k] += v;
  return cudaSuccess;
}
X cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
X cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) {
  Guard g(lock_);
  counts_["graphs destroyed"]++;
  if (!captures_.empty()) tell("a graph destroyed during a capture");
  return cudaSuccess;
}
X cudaError_t cudaGraphDebugDotPrint(cudaGraph_t, const char*, unsigned) { return cudaSuccess; }
X cudaError_t cudaGraphAddNode(cudaGraphNode_t*, cudaGraph_t, const cudaGraphNode_t*,
                               const cudaGraphEdgeData*, size_t, cudaGraphNodeParams*) {
  return fail(cudaErrorNotSupported);
}
X cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t, cudaGraphNode_t*, cudaGraphEdgeData*,
                                           size_t* n) {
  *n = 0;
  return cudaSuccess;
}
X cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle*, cudaGraph_t, unsigned,
                                               unsigned) {
  return fail(cudaErrorNotSupported);
}
X cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) {
  *p = (cudaMemPool_t)1;
  return cudaSuccess;
}
X cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
X cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
X cudaError_t cudaMemPoolSetAccess(cudaMemPool_t, const cudaMemAccessDesc*, size_t) {
  return cudaSuccess;
}
X cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
X cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t*, void*) {
  return fail(cudaErrorNotSupported);
}
X cudaError_t cudaIpcOpenMemHandle(void**, cudaIpcMemHandle_t, unsigned) {
  return fail(cudaErrorNotSupported);
}
X cudaError_t cudaIpcCloseMemHandle(void*) { return cudaSuccess; }
X cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t*, cudaEvent_t) {
  return fail(cudaErrorNotSupported);
}
X cudaError_t cudaIpcOpenEventHandle(cudaEvent_t*, cudaIpcEventHandle_t) {
  return fail(cudaErrorNotSupported);
}
X cudaError_t cudaProfilerStart() { return cudaSuccess; }
X cudaError_t cudaProfilerStop() { return cudaSuccess; }

// ---- the driver, as far as PyTorch asks it
static int zero() { return 0; }
X int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) {
  *flags = 0;
  *active = 1;
  return 0;
}
X int cuDeviceGet(int* d, int i) {
  *d = i;
  return 0;
}
X int cuCtxGetCurrent(void** c) {
  *c = (void*)1;
  return 0;
}
X int cuInit(unsigned) { return 0; }
X int cuDriverGetVersion(int* v) {
  *v = 13000;
  return 0;
}
X int cuDeviceGetCount(int* n) {
  *n = devices();
  return 0;
}
X int cuGetErrorString(int, const char** s) {
  *s = "an error of the null GPU";
  return 0;
}
X int cuPointerGetAttribute(void* d, int, unsigned long long) {
  *(int*)d = 0;
  return 0;
}
#define NOTHING(name) \
  X int name() { return 0; }
NOTHING(cuCtxSetCurrent)
NOTHING(cuDeviceGetAttribute) NOTHING(cuDevicePrimaryCtxRetain) NOTHING(cuFuncGetAttribute)
    NOTHING(cuFuncSetAttribute) NOTHING(cuFuncSetCacheConfig) NOTHING(cuLaunchCooperativeKernel)
        NOTHING(cuLaunchKernel) NOTHING(cuLinkAddData_v2) NOTHING(cuLinkComplete)
            NOTHING(cuLinkCreate_v2) NOTHING(cuModuleGetFunction) NOTHING(cuModuleLoad)
                NOTHING(cuModuleLoadData) NOTHING(cuModuleLoadDataEx) NOTHING(cuModuleUnload)
                    NOTHING(cuOccupancyMaxActiveBlocksPerMultiprocessor)
                        NOTHING(cuTensorMapEncodeTiled) X cudaError_t
    cudaGetDriverEntryPointByVersion(const char* symbol, void** f, unsigned, unsigned long long,
                                     cudaDriverEntryPointQueryResult* status) {
  *f = dlsym(RTLD_DEFAULT, symbol);
  if (!*f) *f = (void*)zero;
  if (status) *status = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

// ---- cuBLAS: every product is one kernel on the handle's stream
struct Blas {
  cudaStream_t stream = nullptr;
  int math = 0, pointer = 0;
};
X int cublasCreate_v2(void** h) {
  *h = new Blas;
  return 0;
}
X int cublasDestroy_v2(void*) { return 0; }
X int cublasSetStream_v2(void* h, cudaStream_t s) {
  ((Blas*)h)->stream = s;
  return 0;
}
X int cublasSetWorkspace_v2(void*, void*, size_t) { return 0; }
X int cublasSetMathMode(void* h, int m) {
  ((Blas*)h)->math = m;
  return 0;
}
X int cublasGetMathMode(void* h, int* m) {
  *m = ((Blas*)h)->math;
  return 0;
}
X int cublasSetPointerMode_v2(void* h, int m) {
  ((Blas*)h)->pointer = m;
  return 0;
}
X int cublasGetPointerMode_v2(void* h, int* m) {
  *m = ((Blas*)h)->pointer;
  return 0;
}
X int cublasSetSmCountTarget(void*, int) { return 0; }
#define BLAS(name)                       \
  X int name(void* h) {                  \
    Guard g(lock_);                      \
    launched(((Blas*)h)->stream, #name); \
    return 0;                            \
  }
BLAS(cublasSgemm_v2)
BLAS(cublasDgemm_v2) BLAS(cublasGemmEx) BLAS(cublasSgemmEx) BLAS(cublasSgemmStridedBatched)
    BLAS(cublasDgemmStridedBatched) BLAS(cublasGemmStridedBatchedEx) BLAS(cublasSgemv_v2)
        BLAS(cublasDgemv_v2) BLAS(cublasSdot_v2) BLAS(cublasDdot_v2) BLAS(cublasDotEx)
            NOTHING(cublasLtMatmulDescCreate) NOTHING(cublasLtMatmulDescDestroy)
                NOTHING(cublasLtMatmulDescSetAttribute) NOTHING(cublasLtMatmulPreferenceCreate)
                    NOTHING(cublasLtMatmulPreferenceDestroy)
                        NOTHING(cublasLtMatmulPreferenceSetAttribute)
                            NOTHING(cublasLtMatrixLayoutCreate) NOTHING(cublasLtMatrixLayoutDestroy)
                                NOTHING(cublasLtMatrixLayoutSetAttribute) X size_t
    cublasLtGetVersion() {
  return 130100;
}
X int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int,
                                     void* results, int* found) {
  memset(results, 0, 64);
  *found = 1;
  return 0;
}
X int cublasLtMatmul(void*, void*, const void*, const void*, void*, const void*, void*, const void*,
                     const void*, void*, void*, void*, const void*, void*, size_t, cudaStream_t s) {
  Guard g(lock_);
  launched(s, "cublasLtMatmul");
  return 0;
}

// ---- cuDNN: every execution of a plan is one kernel (real plans: one to three)
struct Dnn {
  cudaStream_t stream = nullptr;
};
struct Descriptor {
  int type;
  void* handle = nullptr;
  std::string name;
};
X int cudnnCreate(void** h) {
  *h = new Dnn;
  return 0;
}
X int cudnnDestroy(void*) { return 0; }
X int cudnnSetStream(void* h, cudaStream_t s) {
  ((Dnn*)h)->stream = s;
  return 0;
}
X int cudnnGetStream(void* h, cudaStream_t* s) {
  *s = ((Dnn*)h)->stream;
  return 0;
}
X size_t cudnnGetVersion() { return 92000; }
X size_t cudnnGetCudartVersion() { return 13000; }
X const char* cudnnGetErrorString(int) { return "an error of the null GPU"; }
X void cudnnGetLastErrorString(char* s, size_t n) {
  if (n) *s = 0;
}
X int cudnnBackendCreateDescriptor(int type, void** d) {
  *d = new Descriptor{type};
  return 0;
}
X int cudnnBackendDestroyDescriptor(void* d) {
  delete (Descriptor*)d;
  return 0;
}
static Descriptor* link_[64];
X int cudnnBackendSetAttribute(void* d, int name, int type, int64_t count, const void* values) {
  // The kind of an operation travels from operation to graph to heuristics to plan by its name.
  Descriptor* me = (Descriptor*)d;
  if (type == 15 && count >= 1 && values) {  // CUDNN_TYPE_BACKEND_DESCRIPTOR
    Descriptor* other = *(Descriptor**)values;
    if (other && !other->name.empty()) me->name = other->name;
  }
  return 0;
}
X int cudnnBackendFinalize(void* d) {
  Descriptor* me = (Descriptor*)d;
  switch (me->type) {  // CUDNN_BACKEND_OPERATION_*
    case 10:
      me->name = "cudnn conv forward";
      break;
    case 11:
      me->name = "cudnn conv weight gradient";
      break;
    case 12:
      me->name = "cudnn conv input gradient";
      break;
  }
  counts_["cudnn descriptors finalised"]++;
  return 0;
}
X int cudnnBackendGetAttribute(void* d, int name, int type, int64_t count, int64_t* found,
                               void* values) {
  Descriptor* me = (Descriptor*)d;
  if (found) *found = 0;
  if (type == 15) {
    if (found) *found = 1;
    if (values && count >= 1 && *(Descriptor**)values) (*(Descriptor**)values)->name = me->name;
    return 0;
  }
  if (type == 3 && values && count >= 1) {
    *(int64_t*)values = 0;
    if (found) *found = 1;
  }  // CUDNN_TYPE_INT64
  return 0;
}
X int cudnnBackendExecute(void* h, void* plan, void*) {
  Guard g(lock_);
  Descriptor* p = (Descriptor*)plan;
  launched(((Dnn*)h)->stream, p->name.empty() ? "cudnn plan" : p->name);
  return 0;
}
#define DNN(name)                       \
  X int name(void* h) {                 \
    Guard g(lock_);                     \
    launched(((Dnn*)h)->stream, #name); \
    return 0;                           \
  }
DNN(cudnnBatchNormalizationBackwardEx)
DNN(cudnnBatchNormalizationForwardInference) DNN(cudnnBatchNormalizationForwardTrainingEx)
    DNN(cudnnConvolutionBackwardData) DNN(cudnnConvolutionBackwardFilter)
        DNN(cudnnConvolutionForward) DNN(cudnnPoolingForward) X
    int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void*, int, int, void*, void*,
                                                                 void*, void*, void*, size_t* n) {
  *n = 0;
  return 0;
}
X int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void*, int, int, void*, void*, void*, void*,
                                                        void*, void*, void*, size_t* n) {
  *n = 0;
  return 0;
}
X int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void*, int, int, void*, void*,
                                                           size_t* n) {
  *n = 0;
  return 0;
}
NOTHING(cudnnCreateTensorDescriptor)
NOTHING(cudnnDestroyTensorDescriptor) NOTHING(cudnnSetTensorNdDescriptor)
    NOTHING(cudnnCreateActivationDescriptor) NOTHING(cudnnDestroyActivationDescriptor)
        NOTHING(cudnnSetActivationDescriptor) NOTHING(cudnnCreateFilterDescriptor)
            NOTHING(cudnnDestroyFilterDescriptor) NOTHING(cudnnSetFilterNdDescriptor)
                NOTHING(cudnnCreateConvolutionDescriptor) NOTHING(cudnnDestroyConvolutionDescriptor)
                    NOTHING(cudnnSetConvolutionNdDescriptor) NOTHING(cudnnSetConvolutionGroupCount)
                        NOTHING(cudnnSetConvolutionMathType)
