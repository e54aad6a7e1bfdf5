import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.MessageFormatter;

/** Prints records, a key and a value in hex a line ("-" = null), as kafka-console-consumer's formatters of these names do. */
public class PrintRecords {
    public static void main(String[] names) throws Exception {
        List<MessageFormatter> formatters = new ArrayList<>();
        for (String name : names) {
            formatters.add((MessageFormatter) Class.forName(name).getDeclaredConstructor().newInstance());
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
