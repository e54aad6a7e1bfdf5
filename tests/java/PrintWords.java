import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.HexFormat;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.MessageFormatter;

/** Prints records, a key and a value in hex a line ("-" = null), as the formatters of Kafka before 4.0 do. */
public class PrintWords {
    private static final String[] FORMATTERS = {"OffsetsMessageFormatter", "GroupMetadataMessageFormatter"};

    public static void main(String[] arguments) throws Exception {
        MessageFormatter[] formatters = new MessageFormatter[FORMATTERS.length];
        for (int i = 0; i < formatters.length; i++) {
            Class<?> found = Class.forName("kafka.coordinator.group.GroupMetadataManager$" + FORMATTERS[i]);
            formatters[i] = (MessageFormatter) found.getDeclaredConstructor().newInstance();
        }
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] pair = line.split(" ");
            byte[] value = pair[1].equals("-") ? null : HexFormat.of().parseHex(pair[1]);
            ConsumerRecord<byte[], byte[]> record =
                new ConsumerRecord<>("__consumer_offsets", 0, 0, HexFormat.of().parseHex(pair[0]), value);
            for (MessageFormatter formatter : formatters) {
                formatter.writeTo(record, out);
            }
        }
        out.flush();
    }
}
