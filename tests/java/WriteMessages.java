// Writes messages by the generated classes of the Kafka version on the class path.
// Standard input: one "class <tab> version <tab> JSON" a line, the JSON as upstream's converters print it, and with
// "_unknownTaggedFields", [tag, hex] each, for more of the outermost level.
// Standard output, for each line: the bytes in hex, the int16 version first; then, where this version of Kafka has a
// converter, a tab and the JSON that it makes of the message.
// The setters are called by name: Kafka 3.7 ships no JSON converters for these messages.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.RawTaggedField;

public class WriteMessages {
    private static final String PACKAGE = "org.apache.kafka.coordinator.group.generated.";

    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\t", 3);
            short version = Short.parseShort(parts[1]);
            String name = parts[0].contains(".") ? parts[0] : PACKAGE + parts[0];
            Message message = (Message) value(mapper.readTree(parts[2]), Class.forName(name));
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer buffer = ByteBuffer.allocate(Short.BYTES + message.size(cache, version));
            buffer.putShort(version);
            message.write(new ByteBufferAccessor(buffer), cache, version);
            out.println(HexFormat.of().formatHex(buffer.array()) + json(message, version));
        }
        out.flush();
    }

    private static String json(Message message, short version) throws Exception {
        try {
            Class<?> converter = Class.forName(message.getClass().getName() + "JsonConverter");
            return "\t" + converter.getMethod("write", message.getClass(), short.class).invoke(null, message, version);
        } catch (ClassNotFoundException none) {
            return "";
        }
    }

    private static Object value(JsonNode json, Type type) throws Exception {
        if (json.isNull()) return null;
        if (type == String.class) return json.textValue();
        if (type == Uuid.class) return Uuid.fromString(json.textValue());
        if (type == byte[].class) return json.binaryValue();
        if (type == ByteBuffer.class) return ByteBuffer.wrap(json.binaryValue());
        if (type == byte.class || type == Byte.class) return (byte) json.intValue();
        if (type == short.class || type == Short.class) return json.shortValue();
        if (type == int.class || type == Integer.class) return json.intValue();
        if (type == long.class || type == Long.class) return json.longValue();
        if (type instanceof ParameterizedType list) {
            List<Object> elements = new ArrayList<>();
            for (JsonNode element : json) elements.add(value(element, list.getActualTypeArguments()[0]));
            return elements;
        }
        Class<?> kind = (Class<?>) type;
        Object message = kind.getDeclaredConstructor().newInstance();
        for (Iterator<Map.Entry<String, JsonNode>> fields = json.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            String name = field.getKey();
            if (name.equals("_unknownTaggedFields")) {
                for (JsonNode tagged : field.getValue()) {
                    byte[] data = HexFormat.of().parseHex(tagged.get(1).textValue());
                    ((Message) message).unknownTaggedFields().add(new RawTaggedField(tagged.get(0).intValue(), data));
                }
                continue;
            }
            Method setter = setter(kind, "set" + Character.toUpperCase(name.charAt(0)) + name.substring(1));
            setter.invoke(message, value(field.getValue(), setter.getGenericParameterTypes()[0]));
        }
        return message;
    }

    private static Method setter(Class<?> kind, String name) {
        for (Method method : kind.getMethods()) {
            if (method.getName().equals(name)) return method;
        }
        throw new IllegalArgumentException(kind + " has no " + name);
    }
}
