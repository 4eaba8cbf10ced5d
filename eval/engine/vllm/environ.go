package vllm

import (
	"slices"
	"strings"
)

// passed are the variables, and with a * the beginnings of names, that vLLM and what it is built on read. Everything
// else stays here: a list of what to leave out would miss the next secret.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "LC_*", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
	"LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHON*", "VIRTUAL_ENV", "CONDA_*",
	"CUDA_*", "NVIDIA_*", "NCCL_*", "CUBLAS_*", "HIP_*", "HSA_*", "ROCM_*", "ROCR_*", "GPU_*",
	"VLLM_*", "TORCH*", "PYTORCH_*", "TRITON_*", "FLASHINFER_*", "OMP_*", "KMP_*", "MKL_*", "OPENBLAS_*", "GLOO_*", "CC", "CXX",
	"HF_HOME", "HF_MODULES_CACHE", "GOCOVERDIR",
}

// secretive are parts of names whose values are not passed on, whatever the list above says.
var secretive = []string{"TOKEN", "KEY", "SECRET", "PASSW", "CREDENTIAL"}

// environ is what vLLM sees of the environment, with what a session sets. key guards its /v1 endpoints; it is not an
// argument, since those are in the list of processes.
func environ(all []string, key string) []string {
	env := slices.DeleteFunc(slices.Clone(all), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !isPassed(name)
	})
	env = append(env,
		"VLLM_SERVER_DEV_MODE=1", // /collective_rpc and /reset_prefix_cache
		"HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1", "VLLM_NO_USAGE_STATS=1",
	)
	if key != "" {
		env = append(env, "VLLM_API_KEY="+key)
	}
	return env
}

func isPassed(name string) bool {
	for _, s := range secretive {
		if strings.Contains(strings.ToUpper(name), s) {
			return false
		}
	}
	return named(passed, name)
}

// named tells whether a name is in a list, where a * ends the beginning of names.
func named(list []string, name string) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		if start, ok := strings.CutSuffix(p, "*"); ok {
			return strings.HasPrefix(name, start)
		}
		return name == p
	})
}

// silent are variables of vLLM's that change no answer: where things lie and what is said.
var silent = []string{"VLLM_LOGGING_*", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "VLLM_SERVER_DEV_MODE", "VLLM_NO_USAGE_STATS", "VLLM_DO_NOT_TRACK",
	"VLLM_HOST_IP", "VLLM_PORT", "VLLM_RPC_BASE_PATH"}

// telling are variables of CUDA's and PyTorch's that decide how numbers are multiplied.
var telling = []string{"VLLM_*", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"}

// settings are the variables by which people set vLLM, as far as they can change what it answers, in order.
func settings(all []string) string {
	var set []string
	for _, v := range all {
		name, _, _ := strings.Cut(v, "=")
		if isPassed(name) && named(telling, name) && !named(silent, name) {
			set = append(set, v)
		}
	}
	slices.Sort(set)
	return strings.Join(set, " ")
}
