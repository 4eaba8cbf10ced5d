package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// matrix is a tensor of an adapter or a model made by hand.
type matrix struct {
	shape  []int64
	values []float32
}

// safetensorsOf is a file of F32 tensors.
func safetensorsOf(tensors map[string]matrix) []byte {
	members, data := map[string]any{}, []byte(nil)
	for name, m := range tensors {
		from := len(data)
		data = append(data, floatBytes(m.values...)...)
		members[name] = map[string]any{"dtype": "F32", "shape": m.shape, "data_offsets": []int{from, len(data)}}
	}
	header, _ := json.Marshal(members)
	return file(string(header), data)
}

const (
	handQ    = "model.layers.0.self_attn.q_proj"
	handEmb  = "model.embed_tokens"
	handHead = "lm_head.weight"
)

func handModel() map[string]matrix {
	return map[string]matrix{
		handQ + ".weight":   {[]int64{2, 3}, []float32{1, 2, 3, 4, 5, 6}},
		handQ + ".bias":     {[]int64{2}, []float32{0.5, -0.5}},
		handEmb + ".weight": {[]int64{3, 2}, []float32{1, 0, 0, 1, 2, 2}},
		handHead:            {[]int64{3, 2}, []float32{1, 1, 1, 1, 1, 1}},
	}
}

// handAdapter has rank 2: B·A = [[1, 2, 0], [0, 0, 3]].
func handAdapter() map[string]matrix {
	return map[string]matrix{
		adapterPrefix + handQ + ".lora_A.weight": {[]int64{2, 3}, []float32{1, 2, 0, 0, 0, 3}},
		adapterPrefix + handQ + ".lora_B.weight": {[]int64{2, 2}, []float32{1, 0, 0, 1}},
	}
}

const handConfig = `{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`

func handFolders(t *testing.T, model, adapter map[string]matrix, config string) (string, string) {
	t.Helper()
	return folder(t, map[string][]byte{singleSafetensors: safetensorsOf(model), configName: []byte(`{"tie_word_embeddings": false}`)}),
		folder(t, map[string][]byte{AdapterWeights: safetensorsOf(adapter), AdapterConfigName: []byte(config)})
}

// TestAdaptedByHand holds each formula to numbers worked out on paper.
func TestAdaptedByHand(t *testing.T) {
	t.Parallel()
	add := func(name string, shape []int64, values ...float32) func(map[string]matrix) {
		return func(a map[string]matrix) { a[adapterPrefix+name] = matrix{shape, values} }
	}
	embedding := func(a map[string]matrix) {
		clear(a)
		add(handEmb+".lora_embedding_A", []int64{1, 3}, 1, 2, 3)(a)
		add(handEmb+".lora_embedding_B", []int64{2, 1}, 10, 20)(a)
	}
	const root2 = 1.4142135623730951
	for name, c := range map[string]struct {
		config string
		change func(map[string]matrix)
		tensor string
		want   []float32
	}{
		"α/r = 2":         {handConfig, nil, handQ + ".weight", []float32{3, 6, 3, 4, 5, 12}},
		"α/√r":            {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_rslora": true}`, nil, handQ + ".weight", []float32{1 + 4/root2, 2 + 8/root2, 3, 4, 5, 6 + 12/root2}},
		"alpha_pattern":   {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alpha_pattern": {"k_proj": 1, "q_proj": 10, ".*": 3}}`, nil, handQ + ".weight", []float32{6, 12, 3, 4, 5, 21}},
		"PEFT's defaults": {`{"peft_type": "LORA", "rank_pattern": {"q_proj": 2}}`, nil, handQ + ".weight", []float32{5, 10, 3, 4, 5, 18}},
		// (3, 6, 3)/√54·√54 and (4, 5, 12)/√185·2√185.
		"DoRA": {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": true}`,
			add(handQ+".lora_magnitude_vector", []int64{2}, float32(math.Sqrt(54)), float32(2*math.Sqrt(185))), handQ + ".weight", []float32{3, 6, 3, 8, 10, 24}},
		// W[v][d] + A[v]·B[d].
		"embedding":     {`{"peft_type": "LORA", "r": 1, "lora_alpha": 1}`, embedding, handEmb + ".weight", []float32{11, 20, 20, 41, 32, 62}},
		"whole tensor":  {handConfig, add(handHead, []int64{3, 2}, 9, 8, 7, 6, 5, 4), handHead, []float32{9, 8, 7, 6, 5, 4}},
		"a bias":        {handConfig, add(handQ+".base_layer.bias", []int64{2}, 7, 8), handQ + ".bias", []float32{7, 8}},
		"lora_bias":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "lora_bias": true}`, add(handQ+".lora_B.bias", []int64{2}, 1, -1), handQ + ".bias", []float32{2.5, -2.5}},
		"base and LoRA": {handConfig, add(handQ+".base_layer.weight", []int64{2, 3}, 0, 0, 0, 0, 0, 1), handQ + ".weight", []float32{2, 4, 0, 0, 0, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adapter := handAdapter()
			if c.change != nil {
				c.change(adapter)
			}
			m, err := OpenAdapted(handFolders(t, handModel(), adapter, c.config))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			got := read(t, m, c.tensor)
			for i, w := range c.want {
				if !(math.Abs(float64(got[i]-w)) <= 2e-7*math.Abs(float64(w))) {
					t.Errorf("%v, want %v", got, c.want)
					break
				}
			}
			if info, _ := m.Tensor("model.embed_tokens.weight"); info.Adapted != (name == "embedding") {
				t.Errorf("embeddings are adapted: %t", info.Adapted)
			}
		})
	}
}

// TestAdaptedByDefinition holds matrices that are no multiple of a tile, and blocks that begin and end within rows, to
// the formulas, bit by bit.
func TestAdaptedByDefinition(t *testing.T) {
	t.Parallel()
	const rows, columns, rank, scale = 37, 71, 3, 4. / 3
	r := rand.New(rand.NewPCG(5, 6))
	random := func(shape ...int64) matrix {
		m := matrix{shape, make([]float32, shape[0]*shape[len(shape)-1])}
		if len(shape) == 1 {
			m.values = m.values[:shape[0]]
		}
		for i := range m.values {
			m.values[i] = float32(r.NormFloat64())
		}
		return m
	}
	for name, c := range map[string]struct{ dora, transposed bool }{"plain": {}, "DoRA": {dora: true}, "transposed": {transposed: true}, "DoRA, transposed": {true, true}} {
		w, left, right := random(rows, columns), random(rows, rank), random(rank, columns)
		a, b, outputs := right, left, int64(rows)
		turn := func(m matrix) matrix {
			out := matrix{[]int64{m.shape[1], m.shape[0]}, make([]float32, len(m.values))}
			for i, v := range m.values {
				out.values[int64(i)%m.shape[1]*m.shape[0]+int64(i)/m.shape[1]] = v
			}
			return out
		}
		if c.transposed {
			a, b, outputs = turn(left), turn(right), columns
		}
		const module = "model.layers.0.q_proj"
		adapter := map[string]matrix{adapterPrefix + module + ".lora_A.weight": a, adapterPrefix + module + ".lora_B.weight": b}
		config := fmt.Sprintf(`{"peft_type": "LORA", "r": %d, "lora_alpha": 4, "use_dora": %t, "fan_in_fan_out": %t}`, rank, c.dora, c.transposed)
		m := random(outputs)
		if c.dora {
			adapter[adapterPrefix+module+".lora_magnitude_vector"] = m
		}
		want, squares := make([]float64, rows*columns), make([]float64, outputs)
		output := func(i int) int {
			if c.transposed {
				return i % columns
			}
			return i / columns
		}
		for i := range want {
			var sum float64
			for k := range rank {
				sum += float64(float64(left.values[i/columns*rank+k]) * float64(right.values[k*columns+i%columns]))
			}
			want[i] = float64(w.values[i]) + float64(scale*sum)
			squares[output(i)] += float64(want[i] * want[i])
		}
		opened, err := OpenAdapted(handFolders(t, map[string]matrix{module + ".weight": w}, adapter, config))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range []int{1, 50, columns, 5*columns - 1, rows * columns} {
			got := make([]float32, block)
			for from := 0; from < len(want); from += block {
				got := got[:min(block, len(want)-from)]
				if err := opened.Floats(module+".weight", got, int64(from)); err != nil {
					t.Fatal(err)
				}
				for i, v := range got {
					x := want[from+i]
					if c.dora {
						x = float64(x * (float64(m.values[output(from+i)]) / math.Sqrt(squares[output(from+i)])))
					}
					if v != float32(x) {
						t.Fatalf("%s, by %d: [%d] is %v, want %v", name, block, from+i, v, float32(x))
					}
				}
			}
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAdapterRefused: what is not built in, or of another model, is an error that says so, never other numbers.
func TestAdapterRefused(t *testing.T) {
	t.Parallel()
	with := func(members string) string { return strings.TrimSuffix(handConfig, "}") + ", " + members + "}" }
	put := func(name string, shape ...int64) func(_, a map[string]matrix) {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		return func(_, a map[string]matrix) { a[name] = matrix{shape, make([]float32, n)} }
	}
	for name, c := range map[string]struct {
		config string
		change func(model, adapter map[string]matrix)
		want   string
	}{
		"IA3":                {strings.Replace(handConfig, "LORA", "IA3", 1), nil, `peft_type "IA3": only LoRA`},
		"no kind":            {`{"r": 2}`, nil, "no peft_type"},
		"a list":             {`[]`, nil, "not a JSON object"},
		"PiSSA":              {with(`"init_lora_weights": "pissa_niter_16"`), nil, `init_lora_weights "pissa_niter_16"`},
		"aLoRA":              {with(`"alora_invocation_tokens": [1]`), nil, "aLoRA"},
		"stacked layers":     {with(`"layer_replication": [[0, 2]]`), nil, "write slices"},
		"an unknown member":  {with(`"use_hydra": true`), nil, `"use_hydra": unsupported checkpoint: this member is not known`},
		"half a rank":        {strings.Replace(handConfig, `"r": 2`, `"r": 2.5`, 1), nil, "r is 2.5, not a rank"},
		"no rank":            {strings.Replace(handConfig, `"r": 2`, `"r": 0`, 1), nil, "not a rank"},
		"a rank in a text":   {strings.Replace(handConfig, `"r": 2`, `"r": "2"`, 1), nil, `"r": damaged checkpoint: not a number`},
		"twice":              {with(`"r": 3`), nil, "comes twice"},
		"a Python pattern":   {with(`"rank_pattern": {"(?=x)y": 3}`), nil, "is not read here"},
		"a pattern's rank":   {with(`"rank_pattern": {"x": -3}`), nil, "rank_pattern: -3 is not a rank"},
		"another rank":       {with(`"rank_pattern": {"q_proj": 3}`), nil, "are not of rank 3"},
		"half a pair":        {handConfig, func(_, a map[string]matrix) { delete(a, adapterPrefix+handQ+".lora_B.weight") }, "only one of lora_A and lora_B"},
		"another width":      {handConfig, put(adapterPrefix+handQ+".lora_A.weight", 2, 4), "do not fit [2 3]"},
		"a convolution":      {handConfig, put(adapterPrefix+handQ+".lora_A.weight", 2, 3, 1, 1), "only matrices"},
		"another model":      {handConfig, put(adapterPrefix+"model.layers.9.mlp.up_proj.lora_A.weight", 2, 3), "which the model does not have"},
		"no prefix":          {handConfig, put(handQ+".lora_A.weight", 2, 3), "begin with base_model.model."},
		"another LoRA":       {handConfig, put(adapterPrefix+handQ+".lora_diag", 2), "a kind of LoRA that is not built in"},
		"a name of its own":  {handConfig, put(adapterPrefix+handQ+".lora_A.default.weight", 2, 3), "a kind of LoRA that is not built in"},
		"trainable tokens":   {handConfig, put(adapterPrefix+handEmb+".token_adapter.trainable_tokens_delta", 1, 2), "which the model does not have"},
		"a larger embedding": {handConfig, put(adapterPrefix+handEmb+".weight", 4, 2), "a vocabulary that grew"},
		"DoRA half":          {with(`"use_dora": true`), nil, "use_dora is true"},
		"DoRA unsaid":        {handConfig, put(adapterPrefix+handQ+".lora_magnitude_vector", 2), "use_dora is false"},
		"magnitudes":         {with(`"use_dora": true`), put(adapterPrefix+handQ+".lora_magnitude_vector", 3), "not one for each of 2 outputs"},
		"bias of none":       {handConfig, put(adapterPrefix+"model.layers.0.mlp.up_proj.lora_B.bias", 2), "which the model does not have"},
		"bias's length":      {handConfig, put(adapterPrefix+handQ+".lora_B.bias", 3), "adds [3] to [2]"},
		"a tied head": {handConfig, func(m, a map[string]matrix) {
			delete(m, handHead)
			put(adapterPrefix+handHead, 3, 2)(m, a)
		}, "tied to the embeddings"},
		"embeddings of a tied model": {handConfig, func(m, a map[string]matrix) {
			delete(m, handHead)
			put(adapterPrefix+handEmb+".weight", 3, 2)(m, a)
		}, "ties its output layer"},
		"square and contradicted": {handConfig, func(m, a map[string]matrix) {
			m["h.c.weight"] = matrix{[]int64{2, 2}, make([]float32, 4)}
			m["h.d.weight"] = matrix{[]int64{2, 4}, make([]float32, 8)} // in × out
			put(adapterPrefix+"h.c.lora_A.weight", 2, 2)(m, a)
			put(adapterPrefix+"h.c.lora_B.weight", 2, 2)(m, a)
			put(adapterPrefix+"h.d.lora_A.weight", 2, 2)(m, a)
			put(adapterPrefix+"h.d.lora_B.weight", 4, 2)(m, a)
		}, "which way round"},
		"twice the same": {handConfig, func(m, a map[string]matrix) {
			put(adapterPrefix+handHead, 3, 2)(m, a)
			put(adapterPrefix+"lm_head.base_layer.weight", 3, 2)(m, a)
		}, "have the same part"},
		"quantised": {handConfig, put(adapterPrefix+handQ+".base_layer.weight.absmax", 2), "quantised"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model, adapter := handModel(), handAdapter()
			if c.change != nil {
				c.change(model, adapter)
			}
			dir, from := handFolders(t, model, adapter, c.config)
			if _, tied := model[handHead]; !tied {
				if err := os.Remove(filepath.Join(dir, configName)); err != nil {
					t.Fatal(err)
				}
			}
			m, err := OpenAdapted(dir, from)
			if err == nil {
				m.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	dir, from := handFolders(t, handModel(), handAdapter(), handConfig)
	_, err := OpenAdapted(dir, dir)
	mustFail(t, err, ErrMissingShard, "no adapter lies there")
	_, err = Open(from)
	mustFail(t, err, ErrUnsupported, "BASE+ADAPTER")
	if err := os.Remove(filepath.Join(from, AdapterWeights)); err != nil {
		t.Fatal(err)
	}
	_, err = OpenAdapted(dir, from)
	mustFail(t, err, ErrMissingShard, AdapterWeights)
}

// TestTiedHead: a model whose config ties its stored output layer must not lose the adapter's.
func TestTiedHead(t *testing.T) {
	t.Parallel()
	config, err := ParseAdapterConfig([]byte(handConfig))
	if err != nil {
		t.Fatal(err)
	}
	model := []Tensor{{Name: handHead, DType: F32, Shape: []int64{3, 2}}}
	adapter := []Tensor{{Name: adapterPrefix + handHead, DType: F32, Shape: []int64{3, 2}}}
	if _, err := config.Adapt(model, adapter, true); err == nil || !strings.Contains(err.Error(), "ties to the embeddings") {
		t.Errorf("tied: %v", err)
	}
	if out, err := config.Adapt(model, adapter, false); err != nil || !out[0].Adapted || model[0].Adapted {
		t.Errorf("not tied: %v %v", out, err)
	}
}

// TestTorchAdapter reads adapter_model.bin by the reader that runs nothing.
func TestTorchAdapter(t *testing.T) {
	t.Parallel()
	tensor := func(name, key string, count int64, shape, strides []int64) binTensor {
		return binTensor{name: adapterPrefix + handQ + name, class: "FloatStorage", key: key, count: count, shape: shape, strides: strides}
	}
	data := torchZip(t, statePickle(tensor(".lora_A.weight", "0", 6, []int64{2, 3}, []int64{3, 1}),
		tensor(".lora_B.weight", "1", 4, []int64{2, 2}, []int64{1, 2})), // transposed
		map[string][]byte{"0": floatBytes(1, 2, 0, 0, 0, 3), "1": floatBytes(1, 0, 5, 1)}, nil)
	dir, _ := handFolders(t, handModel(), handAdapter(), handConfig)
	c, err := OpenAdapted(dir, folder(t, map[string][]byte{AdapterTorch: data, AdapterConfigName: []byte(handConfig)}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := read(t, c, handQ+".weight"); !slices.Equal(got, []float32{3, 6, 33, 4, 5, 12}) {
		t.Errorf("%v", got)
	}
}

// TestGPT2Names: checkpoints of old may lack the name of the model within the task's model.
func TestGPT2Names(t *testing.T) {
	t.Parallel()
	model := map[string]matrix{"h.0.attn.c_attn.weight": {[]int64{2, 3}, make([]float32, 6)}}
	adapter := map[string]matrix{
		adapterPrefix + "transformer.h.0.attn.c_attn.lora_A.weight": {[]int64{1, 2}, []float32{1, 2}},
		adapterPrefix + "transformer.h.0.attn.c_attn.lora_B.weight": {[]int64{3, 1}, []float32{1, 10, 100}},
	}
	c, err := OpenAdapted(handFolders(t, model, adapter, `{"peft_type": "LORA", "r": 1, "lora_alpha": 1, "fan_in_fan_out": true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := read(t, c, "h.0.attn.c_attn.weight"); !slices.Equal(got, []float32{1, 10, 100, 2, 20, 200}) {
		t.Errorf("%v", got)
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	const module = "model.layers.1.self_attn.q_proj"
	for key, want := range map[string]bool{
		"q_proj": true, "self_attn.q_proj": true, module: true, "^model.layers.1.self_attn.q_proj": true, `model\.layers\.1\..*`: true, "layers.[12].self_attn.(q|k)_proj": true,
		"layers.1": false, "_proj": false, "^layers.1.self_attn.q_proj": false, "self_attn-q_proj": false, "selfXattn.q_proj": false, "self.attn.q_proj": true, "": false,
		module + ".x": false, "k_proj|q_proj": true,
	} {
		config, err := ParseAdapterConfig(fmt.Appendf(nil, `{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "alpha_pattern": {%q: 5}}`, key))
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if scale, rank := config.scale(module); rank != 2 || (scale == 2.5) != want {
			t.Errorf("%q matches %s: scale %v, rank %d", key, module, scale, rank)
		}
	}
}
