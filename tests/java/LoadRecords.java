import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.Scanner;

/**
 * What a release's own classes make of records. Reads lines "key value" in hex, "-" for null, and prints for each
 * "read", "skipped" or "refused" and why. The first argument: "old" or "new", the group coordinator.
 */
public class LoadRecords {
    public static void main(String[] arguments) throws Exception {
        boolean old = arguments[0].equals("old");
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String[] words = lines.nextLine().split(" ");
            try {
                boolean known = old ? readByOld(bytes(words[0]), bytes(words[1])) : readByNew(bytes(words[0]), bytes(words[1]));
                System.out.println(known ? "read" : "skipped");
            } catch (InvocationTargetException thrown) {
                String name = thrown.getCause().getClass().getSimpleName();
                String why = String.valueOf(thrown.getCause().getMessage()).replace('\n', ' ');
                System.out.println((name.equals("UnknownRecordTypeException") ? "skipped " : "refused ") + name + ": " + why);
            }
        }
    }

    private static ByteBuffer bytes(String hex) {
        return hex.equals("-") ? null : ByteBuffer.wrap(HexFormat.of().parseHex(hex));
    }

    private static boolean readByNew(ByteBuffer key, ByteBuffer value) throws Exception {
        Class<?> serde = Class.forName("org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde");
        Method deserialize = serde.getMethod("deserialize", ByteBuffer.class, ByteBuffer.class);
        deserialize.invoke(serde.getConstructor().newInstance(), key, value);
        return true;
    }

    private static boolean readByOld(ByteBuffer key, ByteBuffer value) throws Exception {
        Class<?> manager = Class.forName("kafka.coordinator.group.GroupMetadataManager");
        Object found = manager.getMethod("readMessageKey", ByteBuffer.class).invoke(null, key);
        switch (found.getClass().getSimpleName()) {
            case "OffsetKey":
                manager.getMethod("readOffsetMessageValue", ByteBuffer.class).invoke(null, value);
                return true;
            case "GroupMetadataKey":
                Class<?> time = Class.forName("org.apache.kafka.common.utils.Time");
                Object system = time.getField("SYSTEM").get(null);
                manager.getMethod("readGroupMessageValue", String.class, ByteBuffer.class, time)
                    .invoke(null, "g", value, system);
                return true;
            default:
                return false;
        }
    }
}
