/* Test only. Rust's standard library imports ProcessPrng from bcryptprimitives.dll, which every
   supported Windows has and Wine before version 9 has not. This stands in for it under Wine:
   SystemFunction036 of advapi32 is the system's random number generator, also known as RtlGenRandom. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T left)
{
    while (left) {
        ULONG part = left > 0x1000000 ? 0x1000000 : (ULONG)left;
        if (!SystemFunction036(buffer, part))
            return FALSE;
        buffer += part;
        left -= part;
    }
    return TRUE;
}
