// Writes the protobuf form of objects as client-go does: the source of tests/golden/protobuf.jsonl.
//
//	go run . < ../../../golden/protobuf_objects.jsonl > ../../../golden/protobuf.jsonl
//
// Each line in is an object; each line out has the object as Go prints it, its body, and a MODIFIED watch frame of it.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log"
	"os"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

type line struct {
	Object json.RawMessage `json:"object"`
	Body   []byte          `json:"body"`
	Frame  []byte          `json:"frame"`
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func convert(text []byte) line {
	var kind metav1.TypeMeta
	check(json.Unmarshal(text, &kind))
	object, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind))
	check(err)
	check(json.Unmarshal(text, object))
	printed, err := json.Marshal(object)
	check(err)

	var body, frame bytes.Buffer
	check(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(object, &body))
	event := &metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: body.Bytes()}}
	writer := protobuf.LengthDelimitedFramer.NewFrameWriter(&frame)
	check(protobuf.NewRawSerializer(scheme.Scheme, scheme.Scheme).Encode(event, writer))
	return line{printed, body.Bytes(), frame.Bytes()}
}

func main() {
	check(apiextensions.AddToScheme(scheme.Scheme))
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		check(output.Encode(convert(input.Bytes())))
	}
	check(input.Err())
}
