package main

import (
	"bufio"
	"encoding/json"
	"strconv"
)

type head struct {
	Type         string  `json:"type"`
	LogPartition *int32  `json:"log_partition"`
	LogOffset    int64   `json:"log_offset"`
	LogTimestamp int64   `json:"log_timestamp"`
	ProducerID   int64   `json:"producer_id"`
	Transaction  *string `json:"transaction"`
	KeyType      *int16  `json:"key_type"`
	ValueVersion *int16  `json:"value_version"`
	Tombstone    bool    `json:"tombstone"`
}

type commitRow struct {
	head
	Group           string  `json:"group"`
	Topic           string  `json:"topic"`
	Partition       int32   `json:"partition"`
	Offset          *int64  `json:"offset"`
	LeaderEpoch     *int32  `json:"leader_epoch"`
	Metadata        *string `json:"metadata"`
	CommitTimestamp *int64  `json:"commit_timestamp"`
	ExpireTimestamp *int64  `json:"expire_timestamp"`
	TopicID         *string `json:"topic_id"`
}

type groupRow struct {
	head
	Group                 string   `json:"group"`
	ProtocolType          *string  `json:"protocol_type"`
	Generation            *int32   `json:"generation"`
	Protocol              *string  `json:"protocol"`
	Leader                *string  `json:"leader"`
	CurrentStateTimestamp *int64   `json:"current_state_timestamp"`
	Members               []member `json:"members"`
}

type member struct {
	MemberID         string       `json:"member_id"`
	GroupInstanceID  *string      `json:"group_instance_id"`
	ClientID         string       `json:"client_id"`
	ClientHost       string       `json:"client_host"`
	RebalanceTimeout int32        `json:"rebalance_timeout"`
	SessionTimeout   int32        `json:"session_timeout"`
	Subscription     subscription `json:"subscription"`
	Assignment       assignment   `json:"assignment"`
}

type subscription struct {
	Version         int16             `json:"version"`
	Topics          []string          `json:"topics"`
	UserData        *string           `json:"user_data"`
	OwnedPartitions []topicPartitions `json:"owned_partitions"`
	GenerationID    *int32            `json:"generation_id"`
	RackID          *string           `json:"rack_id"`
}

type assignment struct {
	Version            int16             `json:"version"`
	AssignedPartitions []topicPartitions `json:"assigned_partitions"`
	UserData           *string           `json:"user_data"`
}

type topicPartitions struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

type markerRow struct {
	head
	ProducerEpoch    int16  `json:"producer_epoch"`
	Marker           string `json:"marker"`
	CoordinatorEpoch int32  `json:"coordinator_epoch"`
}

// appendWriter builds the lines of commits by hand; the others, which are few, go through encoding/json.
func appendWriter(out *bufio.Writer) func(row any) error {
	other := jsonWriter(out)
	var line []byte
	return func(row any) error {
		commit, found := row.(*commitRow)
		if !found {
			return other(row)
		}
		line = append(commit.appendTo(line[:0]), '\n')
		_, err := out.Write(line)
		return err
	}
}

func (row *commitRow) appendTo(line []byte) []byte {
	line = append(line, `{"type":"offset_commit","log_partition":`...)
	line = appendInt(line, row.LogPartition)
	line = strconv.AppendInt(append(line, `,"log_offset":`...), row.LogOffset, 10)
	line = strconv.AppendInt(append(line, `,"log_timestamp":`...), row.LogTimestamp, 10)
	line = strconv.AppendInt(append(line, `,"producer_id":`...), row.ProducerID, 10)
	line = appendText(append(line, `,"transaction":`...), row.Transaction)
	line = appendInt(append(line, `,"key_type":`...), row.KeyType)
	line = appendInt(append(line, `,"value_version":`...), row.ValueVersion)
	line = strconv.AppendBool(append(line, `,"tombstone":`...), row.Tombstone)
	line = appendText(append(line, `,"group":`...), &row.Group)
	line = appendText(append(line, `,"topic":`...), &row.Topic)
	line = strconv.AppendInt(append(line, `,"partition":`...), int64(row.Partition), 10)
	line = appendInt(append(line, `,"offset":`...), row.Offset)
	line = appendInt(append(line, `,"leader_epoch":`...), row.LeaderEpoch)
	line = appendText(append(line, `,"metadata":`...), row.Metadata)
	line = appendInt(append(line, `,"commit_timestamp":`...), row.CommitTimestamp)
	line = appendInt(append(line, `,"expire_timestamp":`...), row.ExpireTimestamp)
	line = appendText(append(line, `,"topic_id":`...), row.TopicID)
	return append(line, '}')
}

func appendInt[number int16 | int32 | int64](line []byte, value *number) []byte {
	if value == nil {
		return append(line, "null"...)
	}
	return strconv.AppendInt(line, int64(*value), 10)
}

func appendText(line []byte, text *string) []byte {
	if text == nil {
		return append(line, "null"...)
	}
	for index := range len(*text) {
		if character := (*text)[index]; character < 0x20 || character >= 0x7f || character == '"' || character == '\\' {
			quoted, err := json.Marshal(*text)
			if err != nil {
				panic(err) // a string always has a JSON form
			}
			return append(line, quoted...)
		}
	}
	return append(append(append(line, '"'), *text...), '"')
}
