// Prints a segment of message format 2 as offdecode's JSON lines: the peer that the benchmark compares with.
//
// It is what an engineer would write in Go for the record types of the benchmark: a loop over batches, structs,
// encoding/json. With -encoder append the lines are built by hand instead, the fastest plain way.
//
//	go-peer [-encoder json|append] FILE
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	headerBytes   = 61
	codecMask     = 0x07
	transactional = 0x10
	control       = 0x20
)

var (
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	errTruncated = errors.New("truncated")
)

type batch struct {
	baseOffset, baseTimestamp, producerID int64
	producerEpoch, attributes             int16
	count                                 int32
	records                               []byte
}

// outcome is a marker, by the index of its batch.
type outcome struct {
	index  int
	status string
}

func main() {
	encoder := flag.String("encoder", "json", "json: encoding/json; append: lines built by hand")
	flag.Parse()
	if flag.NArg() != 1 || (*encoder != "json" && *encoder != "append") {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *encoder == "append"); err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
}

func run(path string, byHand bool) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	batches, err := readBatches(data)
	if err != nil {
		return err
	}
	markers, err := findMarkers(batches)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	write := jsonWriter(out)
	if byHand {
		write = appendWriter(out)
	}
	decoder := decoder{partition: partitionOf(path), write: write}
	decompressor := kgo.DefaultDecompressor()
	for index := range batches {
		batch := &batches[index]
		if codec := batch.attributes & codecMask; codec != 0 {
			batch.records, err = decompressor.Decompress(batch.records, kgo.CompressionCodecType(codec))
			if err != nil {
				return err
			}
		}
		if err := decoder.batch(batch, statusOf(batch, index, markers)); err != nil {
			return fmt.Errorf("batch at offset %d: %w", batch.baseOffset, err)
		}
		batch.records = nil
	}
	return out.Flush()
}

func partitionOf(path string) *int32 {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	name, found := strings.CutPrefix(filepath.Base(filepath.Dir(absolute)), "__consumer_offsets-")
	number, err := strconv.ParseInt(name, 10, 32)
	if !found || err != nil {
		return nil
	}
	partition := int32(number)
	return &partition
}

func readBatches(data []byte) ([]batch, error) {
	var batches []batch
	for len(data) > 0 {
		if len(data) < headerBytes {
			return nil, errTruncated
		}
		end := 12 + int(binary.BigEndian.Uint32(data[8:]))
		if end > len(data) {
			return nil, errTruncated
		}
		if crc32.Checksum(data[21:end], castagnoli) != binary.BigEndian.Uint32(data[17:]) {
			return nil, errors.New("wrong checksum")
		}
		batches = append(batches, batch{
			baseOffset:    int64(binary.BigEndian.Uint64(data)),
			attributes:    int16(binary.BigEndian.Uint16(data[21:])),
			baseTimestamp: int64(binary.BigEndian.Uint64(data[27:])),
			producerID:    int64(binary.BigEndian.Uint64(data[43:])),
			producerEpoch: int16(binary.BigEndian.Uint16(data[51:])),
			count:         int32(binary.BigEndian.Uint32(data[57:])),
			records:       data[headerBytes:end],
		})
		data = data[end:]
	}
	return batches, nil
}

func findMarkers(batches []batch) (map[int64][]outcome, error) {
	markers := map[int64][]outcome{}
	for index, batch := range batches {
		if batch.attributes&control == 0 {
			continue
		}
		record, _, err := readRecord(batch.records)
		if err != nil {
			return nil, err
		}
		key := reader{record.key}
		key.int16()
		status := "aborted"
		if key.int16() == 1 {
			status = "committed"
		}
		markers[batch.producerID] = append(markers[batch.producerID], outcome{index, status})
	}
	return markers, nil
}

// statusOf is what the producer's next marker says.
func statusOf(batch *batch, index int, markers map[int64][]outcome) *string {
	if batch.attributes&transactional == 0 || batch.attributes&control != 0 {
		return nil
	}
	next := markers[batch.producerID]
	for len(next) > 0 && next[0].index < index {
		next = next[1:]
	}
	markers[batch.producerID] = next
	status := "open"
	if len(next) > 0 {
		status = next[0].status
	}
	return &status
}

type record struct {
	timestampDelta, offsetDelta int64
	key, value                  []byte
}

func readRecord(data []byte) (record, []byte, error) {
	var found record
	length, size := binary.Varint(data)
	if size <= 0 || length < 1 || int(length) > len(data)-size {
		return found, nil, errTruncated
	}
	body, rest := data[size+1:size+int(length)], data[size+int(length):]
	for _, target := range []*int64{&found.timestampDelta, &found.offsetDelta} {
		*target, size = binary.Varint(body)
		if size <= 0 {
			return found, nil, errTruncated
		}
		body = body[size:]
	}
	for _, target := range []*[]byte{&found.key, &found.value} {
		length, size = binary.Varint(body)
		if size <= 0 || int(length) > len(body)-size {
			return found, nil, errTruncated
		}
		body = body[size:]
		if length >= 0 {
			*target, body = body[:length:length], body[length:]
		}
	}
	return found, rest, nil
}

type decoder struct {
	partition *int32
	write     func(row any) error
}

func (d *decoder) batch(batch *batch, transaction *string) error {
	rest := batch.records
	for range batch.count {
		record, after, err := readRecord(rest)
		if err != nil {
			return err
		}
		rest = after
		head := head{
			LogPartition: d.partition,
			LogOffset:    batch.baseOffset + record.offsetDelta,
			LogTimestamp: batch.baseTimestamp + record.timestampDelta,
			ProducerID:   batch.producerID,
			Transaction:  transaction,
			Tombstone:    record.value == nil,
		}
		row, err := decode(head, batch, record)
		if err != nil {
			return err
		}
		if err := d.write(row); err != nil {
			return err
		}
	}
	return nil
}

func decode(head head, batch *batch, record record) (row any, err error) {
	defer func() { // reader slices without looking; a cut record ends here
		if recover() != nil {
			err = errTruncated
		}
	}()
	key, value := reader{record.key}, reader{record.value}
	if batch.attributes&control != 0 {
		key.int16()
		marker := markerRow{head: head, ProducerEpoch: batch.producerEpoch, Marker: "abort"}
		if key.int16() == 1 {
			marker.Marker = "commit"
		}
		value.int16()
		marker.CoordinatorEpoch = value.int32()
		marker.Type = "transaction_marker"
		return &marker, nil
	}
	keyType := key.int16()
	head.KeyType = &keyType
	if !head.Tombstone {
		version := value.int16()
		head.ValueVersion = &version
	}
	switch keyType {
	case 0, 1:
		return decodeCommit(head, key, value)
	case 2:
		return decodeGroup(head, key, value)
	}
	return nil, fmt.Errorf("key type %d is not read here", keyType)
}

func decodeCommit(head head, key, value reader) (any, error) {
	head.Type = "offset_commit"
	row := commitRow{head: head, Group: key.string(), Topic: key.string(), Partition: key.int32()}
	if head.Tombstone {
		return &row, nil
	}
	version := *head.ValueVersion
	if version != 3 && version != 4 {
		return nil, fmt.Errorf("version %d of a commit is not read here", version)
	}
	var values struct {
		offset, timestamp int64
		epoch             int32
		metadata          string
	}
	values.offset, values.epoch = value.int64(), value.int32()
	if version == 3 {
		values.metadata = value.string()
	} else {
		values.metadata = value.compactString()
	}
	values.timestamp = value.int64()
	row.Offset, row.LeaderEpoch = &values.offset, &values.epoch
	row.Metadata, row.CommitTimestamp = &values.metadata, &values.timestamp
	if version == 4 {
		for range value.uvarint() {
			tag, size := value.uvarint(), value.uvarint()
			bytes := value.take(size)
			if tag == 0 {
				id := base64.RawURLEncoding.EncodeToString(bytes)
				row.TopicID = &id
			}
		}
	}
	return &row, nil
}

func decodeGroup(head head, key, value reader) (any, error) {
	head.Type = "group_metadata"
	row := groupRow{head: head, Group: key.string()}
	if head.Tombstone {
		return &row, nil
	}
	if *head.ValueVersion != 3 {
		return nil, fmt.Errorf("version %d of group metadata is not read here", *head.ValueVersion)
	}
	protocolType, generation := value.string(), value.int32()
	row.ProtocolType, row.Generation = &protocolType, &generation
	row.Protocol, row.Leader = value.nullableString(), value.nullableString()
	timestamp := value.int64()
	row.CurrentStateTimestamp = &timestamp
	row.Members = make([]member, value.int32())
	for index := range row.Members {
		member := &row.Members[index]
		member.MemberID, member.GroupInstanceID = value.string(), value.nullableString()
		member.ClientID, member.ClientHost = value.string(), value.string()
		member.RebalanceTimeout, member.SessionTimeout = value.int32(), value.int32()
		member.Subscription = decodeSubscription(reader{value.bytes()})
		member.Assignment = decodeAssignment(reader{value.bytes()})
	}
	return &row, nil
}

func decodeSubscription(data reader) subscription {
	found := subscription{Version: data.int16()}
	found.Topics = make([]string, data.int32())
	for index := range found.Topics {
		found.Topics[index] = data.string()
	}
	found.UserData = data.hex()
	if found.Version >= 1 {
		found.OwnedPartitions = data.topicPartitions()
	}
	if found.Version >= 2 {
		generation := data.int32()
		found.GenerationID = &generation
	}
	if found.Version >= 3 {
		found.RackID = data.nullableString()
	}
	return found
}

func decodeAssignment(data reader) assignment {
	return assignment{Version: data.int16(), AssignedPartitions: data.topicPartitions(), UserData: data.hex()}
}

// reader takes fields from the front of a message.
type reader struct{ data []byte }

func (r *reader) take(count int) []byte {
	taken := r.data[:count:count]
	r.data = r.data[count:]
	return taken
}

func (r *reader) int16() int16 { return int16(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) int32() int32 { return int32(binary.BigEndian.Uint32(r.take(4))) }
func (r *reader) int64() int64 { return int64(binary.BigEndian.Uint64(r.take(8))) }

func (r *reader) uvarint() int {
	value, size := binary.Uvarint(r.data)
	r.data = r.data[size:]
	return int(value)
}

func (r *reader) string() string        { return string(r.take(int(r.int16()))) }
func (r *reader) compactString() string { return string(r.take(r.uvarint() - 1)) }
func (r *reader) bytes() []byte         { return r.take(int(r.int32())) }

func (r *reader) nullableString() *string {
	length := r.int16()
	if length < 0 {
		return nil
	}
	text := string(r.take(int(length)))
	return &text
}

func (r *reader) hex() *string {
	length := r.int32()
	if length < 0 {
		return nil
	}
	text := hex.EncodeToString(r.take(int(length)))
	return &text
}

func (r *reader) topicPartitions() []topicPartitions {
	found := make([]topicPartitions, r.int32())
	for index := range found {
		found[index].Topic = r.string()
		found[index].Partitions = make([]int32, r.int32())
		for at := range found[index].Partitions {
			found[index].Partitions[at] = r.int32()
		}
	}
	return found
}

func jsonWriter(out *bufio.Writer) func(row any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode
}
