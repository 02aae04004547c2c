/* The public header is C: this compiles it as C11 and links what it declares. */
#include <iommud/iommud.h>
#include <string.h>

int iommud_abi_test(void);

int iommud_abi_test(void) {
    struct iommud_failure failure;
    struct iommud_connection* connection;
    memset(&failure, 0, sizeof failure);
    if (iommud_connect("/nonexistent/bus", &connection, &failure) != IOMMUD_ERROR_NO_DAEMON) {
        return 1;
    }
    return connection == NULL && failure.code == IOMMUD_ERROR_NO_DAEMON && failure.message[0] != '\0' ? 0 : 2;
}
