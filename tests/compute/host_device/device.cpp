// A device "cuda" in a CPU build of PyTorch: memory of the host, real numbers, the manners of CUDA.
//
// Every operation on it runs on the CPU, through aliases of its tensors. As on a GPU, arrays of the
// host or of another device among the arguments are an error. What a GPU would have to be waited
// for is counted; it is refused while a recording is under way.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <set>
#include <string>
#include <unordered_map>

namespace {

constexpr auto kCuda = c10::DeviceType::CUDA;
constexpr int kDevices = 2;
thread_local c10::DeviceIndex current = 0;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kCuda; }
  c10::Device getDevice() const override { return {kCuda, current}; }
  c10::Device exchangeDevice(c10::Device wanted) const override {
    const c10::Device before = getDevice();
    setDevice(wanted);
    return before;
  }
  void setDevice(c10::Device wanted) const override { uncheckedSetDevice(wanted); }
  void uncheckedSetDevice(c10::Device wanted) const noexcept override {
    if (wanted.index() >= 0) current = wanted.index();
  }
  c10::Stream getStream(c10::Device d) const override {
    return c10::Stream(c10::Stream::DEFAULT, d);
  }
  c10::Stream exchangeStream(c10::Stream s) const override {
    return c10::Stream(c10::Stream::DEFAULT, s.device());
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard);

// The library is loaded before `import torch`, which asks once whether there is CUDA.
struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  void init() const override {}
  c10::DeviceIndex current_device() const override { return current; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  int getNumGPUs() const override { return kDevices; }
  bool isPinnedPtr(const void*) const override { return false; }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    return c10::GetAllocator(c10::kCPU);
  }
};

std::atomic<long> launches{0}, waits{0};
std::atomic<bool> waiting_is_an_error{false}, recording{false};

void wait(const std::string& what) {
  waits++;
  TORCH_CHECK(!recording, "CUDA error: operation not permitted when stream is capturing (", what,
              ")");
  TORCH_CHECK(!waiting_is_an_error, "called a synchronizing CUDA operation (", what, ")");
}

// Memory of a storage as that of another device; the storage lives as long as this does.
c10::DataPtr borrowed(const c10::Storage& owner, c10::Device device) {
  auto* place = const_cast<void*>(owner.data());
  auto release = [](void* held) { delete static_cast<c10::Storage*>(held); };
  return {place, new c10::Storage(owner), release, device};
}

at::Tensor view(const c10::Storage& storage, c10::DispatchKey key, const at::Tensor& like) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(storage),
                                                       c10::DispatchKeySet(key), like.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(),
                                                    like.storage_offset());
  return made;
}

// One call of an operation: which memory and which tensors of the CPU stand for which of the device.
struct Call {
  c10::Device device{kCuda, 0};
  std::unordered_map<c10::StorageImpl*, c10::Storage> on_cpu, on_device;
  std::unordered_map<c10::TensorImpl*, at::Tensor> given;

  at::Tensor alias(const at::Tensor& t) {
    auto* storage = t.storage().unsafeGetStorageImpl();
    auto known = on_cpu.find(storage);
    if (known == on_cpu.end()) {
      c10::Storage twin(c10::Storage::use_byte_size_t(), t.storage().nbytes(),
                        borrowed(t.storage(), c10::kCPU), c10::GetAllocator(c10::kCPU), true);
      known = on_cpu.emplace(storage, twin).first;
      on_device.emplace(twin.unsafeGetStorageImpl(), t.storage());
    }
    auto made = view(known->second, c10::DispatchKey::CPU, t);
    if (t.unsafeGetTensorImpl()->is_wrapped_number())
      made.unsafeGetTensorImpl()->set_wrapped_number(true);
    given.emplace(made.unsafeGetTensorImpl(), t);
    return made;
  }

  // A tensor that was given, or one that was computed, as a tensor of the device.
  at::Tensor back(const at::Tensor& t) {
    if (!t.defined() || t.device().type() == kCuda) return t;
    const auto was = given.find(t.unsafeGetTensorImpl());
    if (was != given.end()) {
      settle(t, was->second);
      return was->second;
    }
    auto* storage = t.storage().unsafeGetStorageImpl();
    auto known = on_device.find(storage);
    if (known == on_device.end()) {
      c10::Storage own(c10::Storage::use_byte_size_t(), t.storage().nbytes(),
                       borrowed(t.storage(), device), nullptr, false);
      known = on_device.emplace(storage, own).first;
    }
    return view(known->second, c10::DispatchKey::CUDA, t);
  }

  // An operation may have resized what it was given to write to.
  void settle(const at::Tensor& seen, const at::Tensor& real) {
    auto* storage = real.storage().unsafeGetStorageImpl();
    if (seen.storage().data() != real.storage().data()) {
      storage->set_data_ptr_noswap(borrowed(seen.storage(), device));
      storage->set_nbytes(seen.storage().nbytes());
    }
    if (seen.sizes() != real.sizes() || seen.strides() != real.strides() ||
        seen.storage_offset() != real.storage_offset())
      real.unsafeGetTensorImpl()->set_sizes_and_strides(seen.sizes(), seen.strides(),
                                                        seen.storage_offset());
  }
};

const std::set<std::string> kCopies = {"aten::copy_", "aten::_copy_from",
                                       "aten::_copy_from_and_resize"};
const std::set<std::string> kIndexed = {"aten::index", "aten::index_put_",
                                        "aten::_index_put_impl_", "aten::_unsafe_index"};
// Their results have shapes or values that the host has to know.
const std::set<std::string> kWaiting = {"aten::_local_scalar_dense", "aten::nonzero",
                                        "aten::masked_select",       "aten::_unique2",
                                        "aten::bincount",            "aten::linalg_eigh"};

// `change` is applied to every tensor in a value, also in lists; other values stay.
template <class Change>
c10::IValue changed(const c10::IValue& value, Change change) {
  if (value.isTensor()) return change(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const auto& t : value.toTensorVector()) list.push_back(change(t));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const auto& t : value.toOptionalTensorVector())
      list.push_back(t ? std::optional<at::Tensor>(change(*t)) : std::nullopt);
    return list;
  }
  return value;
}

// The device that a call is for: that of its tensors, or the one that is asked for.
c10::Device device_of(const std::string& name, c10::ArrayRef<c10::IValue> arguments) {
  int found = -1;
  auto look = [&](const at::Tensor& t) {
    if (!t.defined() || t.device().type() != kCuda) return t;
    const int index = t.device().index();
    TORCH_CHECK(kCopies.count(name) || found < 0 || found == index,
                "Expected all tensors to be on the same device, but found at least two devices, ",
                "cuda:", found, " and cuda:", index, "! (", name, ")");
    found = index;
    return t;
  };
  for (const auto& value : arguments) {
    changed(value, look);
    if (value.isDevice() && value.toDevice().type() == kCuda && value.toDevice().index() >= 0)
      found = value.toDevice().index();
  }
  return {kCuda, static_cast<c10::DeviceIndex>(found < 0 ? current : found)};
}

void count_waits(const std::string& name, c10::ArrayRef<c10::IValue> arguments) {
  launches++;
  if (kWaiting.count(name)) wait(name);
  if (name != "aten::copy_") return;
  const auto to = arguments[0].toTensor().device(), from = arguments[1].toTensor().device();
  if (to == from) return;
  const bool not_waiting = arguments[2].toBool();
  if (to.type() == c10::kCPU || !not_waiting)
    wait(to.type() == c10::kCPU ? "a copy to the host" : "a copy from the host");
  else
    TORCH_CHECK(!recording, "a copy from the host in a recording would be repeated as it was");
}

// What the CPU computes with: aliases; numbers of the host are let through, arrays are not.
at::Tensor taken(Call& call, const std::string& name, const at::Tensor& t, bool as_index) {
  if (!t.defined()) return t;
  if (t.device().type() == kCuda) return call.alias(t);
  if (t.device().type() == c10::kCPU && t.dim() > 0 && !kCopies.count(name)) {
    TORCH_CHECK(as_index,
                "Expected all tensors to be on the same device, but found at least two devices, ",
                "cuda:", static_cast<int>(call.device.index()), " and cpu! (", name, ")");
    wait("indices of the host in " + name);
  }
  return t;
}

void run(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string name = op.schema().name();
  const auto count = op.schema().arguments().size();
  const auto arguments = torch::jit::last(*stack, count);
  Call call;
  call.device = device_of(name, arguments);
  count_waits(name, arguments);
  std::vector<c10::IValue> ours;
  for (const auto& value : arguments) {
    const bool as_index = value.isOptionalTensorList() && kIndexed.count(name);
    if (value.isDevice() && value.toDevice().type() == kCuda)
      ours.emplace_back(c10::Device(c10::kCPU));
    else
      ours.push_back(
          changed(value, [&](const at::Tensor& t) { return taken(call, name, t, as_index); }));
  }
  torch::jit::drop(*stack, count);
  for (auto& value : ours) stack->push_back(std::move(value));
  {
    at::AutoDispatchBelowADInplaceOrView below;
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    op.callBoxed(stack);
  }
  for (auto& value : torch::jit::pop(*stack, op.schema().returns().size())) {
    stack->push_back(changed(value, [&](const at::Tensor& t) {
      // copy_ to a tensor of the CPU returns that very tensor.
      const bool of_the_host =
          name == "aten::copy_" && !call.given.count(t.unsafeGetTensorImpl());
      return of_the_host ? t : call.back(t);
    }));
  }
}

void boxed(const c10::OperatorHandle& op, torch::jit::Stack* stack) { run(op, stack); }

}  // namespace

namespace at {
REGISTER_CUDA_HOOKS(CUDAHooks)
}

TORCH_LIBRARY_IMPL(_, CUDA, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&boxed>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  // These are composed of others for each device, and would look for CUDA's own.
  for (const char* name : {"copy_", "convolution", "convolution_backward", "_convolution",
                           "convolution_overrideable", "set_.source_Storage_storage_offset"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&boxed>());
}

extern "C" {
long host_device_launches() { return launches; }
long host_device_waits() { return waits; }
void host_device_waiting_is_an_error(int on) { waiting_is_an_error = on != 0; }
void host_device_recording(int on) { recording = on != 0; }
int host_device_current() { return current; }
void host_device_use(int index) { current = static_cast<c10::DeviceIndex>(index); }
}
