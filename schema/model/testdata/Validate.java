// Prints what Kafka's ConfigDef says of the cases in validate.txt:
// java -cp 'lib/*' Validate.java < validate.txt
import java.util.*;
import org.apache.kafka.common.config.*;
import org.apache.kafka.common.config.ConfigDef.*;

public class Validate {
    public static void main(String[] arguments) {
        Importance medium = Importance.MEDIUM;
        ConfigDef def = new ConfigDef()
            .define("int", Type.INT, 1, Range.atLeast(1), medium, "")
            .define("long", Type.LONG, 0, medium, "")
            .define("short", Type.SHORT, (short) 3, medium, "")
            .define("boolean", Type.BOOLEAN, false, medium, "")
            .define("enum", Type.STRING, "none", ValidString.in("none", "all"), medium, "")
            .define("anycase", Type.STRING, "requested",
                CaseInsensitiveValidString.in("REQUIRED", "REQUESTED"), medium, "")
            .define("name", Type.STRING, "n",
                NonEmptyStringWithoutControlChars.nonEmptyStringWithoutControlChars(), medium, "")
            .define("text", Type.STRING, ConfigDef.NO_DEFAULT_VALUE, new NonEmptyString(), medium, "")
            .define("list", Type.LIST, "", ValidList.anyNonDuplicateValues(true, false), medium, "")
            .define("password", Type.PASSWORD, null, medium, "");
        String[] cases = new Scanner(System.in).useDelimiter("\\A").next().trim().split("\n\n");
        for (String one : cases) {
            String request = one.split("\n")[0];
            if (request.startsWith("#") || request.startsWith("later")) {
                System.out.println(one + "\n");
                continue;
            }
            String key = request.substring(0, request.indexOf(' '));
            String value = request.substring(request.indexOf(' ') + 1);
            Map<String, String> given = new HashMap<>();
            if (!value.equals("-")) given.put(key, value.equals("\"\"") ? "" : value);
            ConfigValue config = def.validateAll(given).get(key);
            String shown = ConfigDef.convertToString(config.value(), def.configKeys().get(key).type);
            System.out.println(request + "\n----");
            System.out.println(shown == null ? "null" : shown.isEmpty() ? "\"\"" : shown);
            config.errorMessages().forEach(System.out::println);
            System.out.println();
        }
    }
}
