// Reads records by the generated classes of the Kafka version on the class path, as its coordinator does: a key's
// int16 is its type, a value's its version. What follows the last field is ignored.
// Standard input: a key and a value in hex a line, "-" = null.
// Standard output, a JSON object a line: kafka "ok" with what was read, in upstream's JSON, and how many bytes were
// ignored; or "error", where (key or value) and the class of the exception.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.coordinator.group.generated.CoordinatorRecordType;

public class ReadRecords {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(reading(line.split(" ")));
        }
        out.flush();
    }

    private static ObjectNode reading(String[] pair) throws Exception {
        ObjectNode found = MAPPER.createObjectNode();
        String where = "key";
        try {
            ByteBuffer key = ByteBuffer.wrap(HexFormat.of().parseHex(pair[0]));
            CoordinatorRecordType type = CoordinatorRecordType.fromId(key.getShort());
            found.set("key", read(type.newRecordKey(), key, (short) 0, (short) 0));
            found.put("key_trailing_bytes", key.remaining());
            where = "value";
            if (!pair[1].equals("-")) {
                ByteBuffer value = ByteBuffer.wrap(HexFormat.of().parseHex(pair[1]));
                short version = value.getShort();
                ApiMessage message = type.newRecordValue();
                short told = (short) Math.max(0, Math.min(version, message.highestSupportedVersion()));
                found.set("value", read(message, value, version, told));
                found.put("value_version", version);
                found.put("value_trailing_bytes", value.remaining());
            }
            found.put("kafka", "ok");
        } catch (InvocationTargetException error) {
            throw error; // the converter's, not the reader's
        } catch (RuntimeException error) {
            found.removeAll();
            found.put("kafka", "error").put("where", where).put("error_class", error.getClass().getSimpleName());
        }
        return found;
    }

    private static JsonNode read(ApiMessage message, ByteBuffer data, short version, short told) throws Exception {
        message.read(new ByteBufferAccessor(data), version);
        Class<?> converter = Class.forName(message.getClass().getName() + "JsonConverter");
        return (JsonNode) converter.getMethod("write", message.getClass(), short.class).invoke(null, message, told);
    }
}
