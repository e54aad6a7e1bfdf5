import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.MessageFormatter;
import org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter;
import org.apache.kafka.tools.consumer.OffsetsMessageFormatter;

/** Prints records, a key and a value in hex a line ("-" = null), as kafka-console-consumer's formatters do. */
public class PrintRecords {
    public static void main(String[] arguments) throws Exception {
        List<MessageFormatter> formatters = List.of(new OffsetsMessageFormatter(), new GroupMetadataMessageFormatter());
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] pair = line.split(" ");
            byte[] value = pair[1].equals("-") ? null : HexFormat.of().parseHex(pair[1]);
            ConsumerRecord<byte[], byte[]> record =
                new ConsumerRecord<>("__consumer_offsets", 0, 0, HexFormat.of().parseHex(pair[0]), value);
            for (MessageFormatter formatter : formatters) {
                formatter.writeTo(record, System.out);
            }
        }
        System.out.flush();
    }
}
