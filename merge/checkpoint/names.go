package checkpoint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// CheckNames says, from the names of a folder's or a repository's files alone,
// what would keep [Open] from finding weights there. Files within folders do not
// count. Errors are ErrMissingShard or ErrUnsupported.
func CheckNames(names []string) error {
	for _, kind := range [][2]string{{singleSafetensors, indexSafetensors}, {singleTorch, indexTorch}} {
		if slices.Contains(names, kind[0]) {
			return nil
		}
		if !slices.Contains(names, kind[1]) {
			continue
		}
		stem, ext, _ := strings.Cut(kind[0], ".")
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, stem+"-") && path.Ext(n) == "."+ext }) {
			return nil
		}
		return fmt.Errorf("%w: %s is there, its shards are not", ErrMissingShard, kind[1])
	}
	return noWeights(names)
}

// noWeights says why files are no checkpoint, none of which has one of the usual
// names.
func noWeights(names []string) error {
	for _, name := range names {
		ext := path.Ext(name)
		switch {
		case strings.Contains(name, "/"):
		case strings.HasPrefix(name, "adapter_model."):
			return unsupported("it holds an adapter (LoRA), not a whole model; name it after its base: BASE+ADAPTER")
		case ext == ".gguf" || ext == ".ggml":
			return unsupported("%s is a GGUF file; use the model's safetensors version", name)
		case strings.HasPrefix(name, "consolidated.") && (ext == ".pth" || ext == ".safetensors"):
			return unsupported("%s is in the original layout of its makers; use the transformers version of the model, the repository whose name ends in -hf if there is one", name)
		case strings.HasPrefix(name, "model-0"), strings.HasPrefix(name, "pytorch_model-0"):
			return fmt.Errorf("%w: it has shards (%s) but no index; download the .index.json file as well", ErrMissingShard, name)
		case foreign[ext] != "":
			return unsupported("%s holds weights of %s; use the model's safetensors version", name, foreign[ext])
		}
	}
	for _, name := range names {
		if ext := path.Ext(name); !strings.Contains(name, "/") && name != "training_args.bin" && (ext == ".safetensors" || pickled[ext]) {
			return unsupported("%s is not named as a model's weights are; use a version whose file is called %s", name, singleSafetensors)
		}
	}
	return fmt.Errorf("%w: it has neither %s nor %s, whole or in shards", ErrMissingShard, singleSafetensors, singleTorch)
}

// foreign are the endings of weights of other libraries, and pickled those of
// files that torch.load reads, where they do not have the usual name.
var (
	foreign = map[string]string{".h5": "TensorFlow", ".msgpack": "Flax", ".onnx": "ONNX", ".npz": "MLX or NumPy", ".ot": "rust-bert", ".nemo": "NeMo", ".tflite": "TensorFlow Lite", ".engine": "TensorRT"}
	pickled = map[string]bool{".bin": true, ".pth": true, ".pt": true, ".ckpt": true, ".pkl": true, ".pickle": true}
)
