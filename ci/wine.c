// What wine 8 lacks and the tests need: a library that each of them loads, for `ci/windows`.
//
// It is called `bcryptprimitives.dll`, from which Rust's standard library takes random numbers. As it is loaded, it puts
// functions of its own in the place of two that the program imports: of these, wine has a barrier that does nothing, and
// no discarding.

#include <windows.h>
// Needs the types of the former.
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T len) {
    return RtlGenRandom(data, len);
}

enum { MEMBARRIER = 324, PRIVATE_EXPEDITED = 8, REGISTER_PRIVATE_EXPEDITED = 16 };

// Asks Linux, to which wine leaves the system calls of programs.
static long long membarrier(long long command) {
    long long result = MEMBARRIER;
    __asm__ volatile("syscall" : "+a"(result) : "D"(command), "S"(0ll), "d"(0ll) : "rcx", "r11", "memory");
    return result;
}

static void WINAPI flush(void) {
    if (membarrier(PRIVATE_EXPEDITED) != 0)
        __builtin_trap();
}

// As wine's own `MEM_RESET` does it, pages are zero afterwards, of which Windows promises nothing.
static DWORD WINAPI discard(PVOID start, SIZE_T len) {
    return VirtualAlloc(start, len, MEM_RESET, PAGE_READWRITE) ? ERROR_SUCCESS : GetLastError();
}

static void *instead_of(const char *name) {
    if (!strcmp(name, "FlushProcessWriteBuffers"))
        return flush;
    if (!strcmp(name, "DiscardVirtualMemory"))
        return discard;
    return NULL;
}

BOOL WINAPI DllMain(HINSTANCE dll, DWORD reason, LPVOID reserved) {
    if (reason != DLL_PROCESS_ATTACH)
        return TRUE;
    BYTE *program = (BYTE *)GetModuleHandleA(NULL);
    IMAGE_NT_HEADERS *headers = (IMAGE_NT_HEADERS *)(program + ((IMAGE_DOS_HEADER *)program)->e_lfanew);
    DWORD imports = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    IMAGE_IMPORT_DESCRIPTOR *from = (IMAGE_IMPORT_DESCRIPTOR *)(program + imports);
    for (; from->Name; from++) {
        IMAGE_THUNK_DATA *wanted = (IMAGE_THUNK_DATA *)(program + from->OriginalFirstThunk);
        IMAGE_THUNK_DATA *found = (IMAGE_THUNK_DATA *)(program + from->FirstThunk);
        for (; wanted->u1.AddressOfData; wanted++, found++) {
            if (IMAGE_SNAP_BY_ORDINAL(wanted->u1.Ordinal))
                continue;
            void *ours = instead_of(((IMAGE_IMPORT_BY_NAME *)(program + wanted->u1.AddressOfData))->Name);
            DWORD access;
            if (!ours)
                continue;
            if (!VirtualProtect(found, sizeof *found, PAGE_READWRITE, &access))
                return FALSE;
            found->u1.Function = (ULONGLONG)ours;
        }
    }
    return membarrier(REGISTER_PRIVATE_EXPEDITED) == 0;
}
